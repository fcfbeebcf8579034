"""Figure like Fig 2: for each feature map, projections of its strongest photos next to their patches."""

import math
from collections.abc import Collection, Mapping, Sequence

from PIL import Image, ImageDraw

from zfscope.analysis.contract import Picture, picture
from zfscope.images.geometry import Box
from zfscope.images.layout import FAINT, SMALL, Colour, blank, grid, hstack, page, text, vstack
from zfscope.images.preprocess import Preprocessing, reorder
from zfscope.images.render import symmetric_scale
from zfscope.images.tiles import Panel, column_count, fit_square, grey_outside, mark_tile, tiles
from zfscope.records import RecordState
from zfscope.store import Model
from zfscope_analyzers.top_k.inspect import Inspection, MapRank, UnitView
from zfscope_analyzers.top_k.page import Page

# Width of a map's tiles of one kind: a single one, a row, or a square of nine.
_SIDE_PX = 264
_TILE_GAP, _KIND_GAP, _GAP = 3, 10, 30
_FEW = 9
# Side of a tile whose frames have lines of one pixel; those of larger tiles are wider.
_PX_PER_LINE = 150
_PROJECTIONS = (
    "Left: the strongest activation of the map in each photo, projected back to pixels (grey is zero, white "
    "and black are equally strong, each projection on its own scale). Right: the corresponding image patches "
    "in the same order, strongest first; grey outside of the photo."
)
_PATCHES = "The crops in which each map has its strongest activations, strongest first"
_CELLS = "frames show where in the map the activation is. What the unit sees of the crop is unknown."
_UNIT_PATCHES = "The crops in which each unit has its strongest activations, strongest first."
_MARKS: Mapping[RecordState, Colour] = {
    RecordState.DIFFERS: (222, 102, 32),
    RecordState.CHANGED: (190, 40, 20),
    RecordState.GONE: (150, 50, 150),
    RecordState.SILENT: (140, 140, 140),
    RecordState.DEAD: (140, 140, 140),
}


def draw_page(
    model: Model,
    shown: Page,
    inspections: Mapping[MapRank, Inspection],
    indices: Sequence[int],
    *,
    control: bool,
) -> Picture:
    """Draw the maps at some indices of a page, in a grid as in the paper."""
    by_map = {index: [inspections[MapRank(index, rank)] for rank in range(shown.top)] for index in indices}
    kinds = 1 if model.is_opaque else 3 if control else 2
    cells = [_cell(model, shown, index, each, kinds) for index, each in by_map.items()]
    columns = min(len(cells), (3 if len(cells) <= _FEW else 4) - control)
    maps = grid(cells, columns, gap=_GAP)
    states = {each.state for index in indices if shown.alive[index] for each in by_map[index]}
    drawn = page(
        _title(model, shown, indices),
        [maps],
        scale="" if model.is_opaque else _scale_note(shown, by_map),
        subtitle=_subtitle(shown),
        caption=_caption(states, kinds, has_maps=model.spec.has_maps(shown.layer)),
        width_px=max(maps.width, 2 * _SIDE_PX + _KIND_GAP),
    )
    return picture("top-k", drawn)


def _title(model: Model, shown: Page, indices: Sequence[int]) -> str:
    if len(indices) == 1:
        return f"{shown.layer} of {model.name}"
    kind = "maps" if model.spec.has_maps(shown.layer) else "units"
    return f"{shown.layer} of {model.name}: {len(indices)} {kind}"


def _subtitle(shown: Page) -> str:
    photos = f"{shown.top} strongest photos" if shown.top > 1 else "strongest photo"
    return f"The {photos} of each, among the {shown.images:,} photos of index '{shown.index.name}'"


def _cell(
    model: Model, shown: Page, index: int, inspections: Sequence[Inspection], kinds: int
) -> Image.Image:
    """Draw a map with its label. kinds: of tiles per record: patch, with a projection, with a control."""
    width = kinds * _SIDE_PX + (kinds - 1) * _KIND_GAP
    label = _heading(_label(model, shown, index), width, kinds)
    columns = column_count(shown.top)
    tile_px = (_SIDE_PX - (columns - 1) * _TILE_GAP) // columns
    if not shown.alive[index]:
        rows = math.ceil(shown.top / columns)
        white = blank(width, rows * tile_px + (rows - 1) * _TILE_GAP)  # as large as the tiles of others
        note = f"dead: active in none of {shown.images:,} photos"
        return vstack([label, mark_tile(white, note, FAINT)], gap=6)
    records = [
        record_tiles(each.view, each.state, model.preprocessing, tile_px, kinds=kinds) for each in inspections
    ]
    sheets = [grid(kind, columns, gap=_TILE_GAP) for kind in zip(*records, strict=True)]
    return vstack([label, hstack(sheets, gap=_KIND_GAP)], gap=6)


def _heading(label: str, width_px: int, kinds: int) -> Image.Image:
    """Return a label on one line, or on two above patches alone, which are narrow."""
    name, _, numbers = label.partition(" | ")
    if kinds > 1:
        return text(label, width_px=width_px)
    return vstack([text(name, width_px=width_px), text(numbers, SMALL, FAINT, width_px=width_px)], gap=2)


def _label(model: Model, shown: Page, index: int) -> str:
    """Return the label of a map, or of a unit and its class: name, activations, number of active photos."""
    layer, number, records = shown.layer, shown.maps[index], shown.records[index]
    name, meaning = model.unit_name(layer, number), model.class_of(layer, number)
    name += f" ({meaning})" if meaning else ""
    if not shown.alive[index]:
        return f"{name} | dead"
    values = [record.value for record in records if record.value > 0]
    scale = f"{values[0]:.3g}" if len(values) == 1 else f"{max(values):.3g} to {min(values):.3g}"
    return f"{name} | {scale} | active in {shown.alive[index]:,} of {shown.images:,}"


def record_tiles(
    view: UnitView | None,
    state: RecordState,
    preprocessing: Preprocessing,
    size_px: int,
    *,
    kinds: int = 2,
) -> tuple[Image.Image, ...]:
    """Return the tiles of a record: projection, patch and control, white without a view; framed unless ok.

    kinds: 2 without a control, 1 for a patch alone.
    """
    drawn: tuple[Image.Image, ...] = (blank(size_px, size_px),) * kinds
    if view is not None and view.projection is None:
        drawn = (_patch_tile(view, size_px),)
    elif view is not None and view.projection is not None:
        size = len(view.patch)
        panel = Panel(
            caption="",
            projection=reorder(view.projection, preprocessing),
            view=grey_outside(view.patch, view.inside),
            box=Box(0, 0, size, size),
            control=None if view.control is None else reorder(view.control, preprocessing),
        )
        drawn = tiles(panel, size_px)
    return (
        drawn if state is RecordState.OK else tuple(mark_tile(tile, state, _MARKS[state]) for tile in drawn)
    )


def _patch_tile(view: UnitView, size_px: int) -> Image.Image:
    """Return the patch as a tile, with a frame around the unit's cell, which stays visible."""
    tile = fit_square(grey_outside(view.patch, view.inside), size_px)
    if view.cell is not None:
        factor, line = size_px / len(view.patch), math.ceil(size_px / _PX_PER_LINE)
        x0, y0 = round(view.cell.x0 * factor), round(view.cell.y0 * factor)
        x1, y1 = round(view.cell.x1 * factor), round(view.cell.y1 * factor)
        draw = ImageDraw.Draw(tile)
        for gap, colour in ((2 * line, (255, 255, 255)), (line, (0, 0, 0))):
            draw.rectangle((x0 - gap, y0 - gap, x1 - 1 + gap, y1 - 1 + gap), outline=colour, width=line)
    return tile


def _caption(states: Collection[RecordState], kinds: int, *, has_maps: bool) -> str:
    text = _PROJECTIONS
    if kinds == 1:
        text = f"{_PATCHES}; {_CELLS}" if has_maps else _UNIT_PATCHES
    if kinds == 3:
        text += " Third: a control, projections with randomised weights, each on its own scale."
    marks = [f"'{state}', {state.meaning}" for state in _MARKS if state in states]
    return f"{text} Frames mark: {'; '.join(marks)}." if marks else text


def _scale_note(shown: Page, by_map: Mapping[int, Sequence[Inspection]]) -> str:
    """Return a note on the grey levels of each projection and control."""
    rule = (
        "each projection on its own scale: symmetric linear; 128 grey = 0; full white (255) = the number "
        "given here, full black (1) = minus that number, larger magnitudes are clipped; strongest photo first"
    )
    notes = [f"map {shown.maps[index]}: {_scales(inspections)}" for index, inspections in by_map.items()]
    return ". ".join([rule, *notes])


def _scales(inspections: Sequence[Inspection]) -> str:
    views = [each.view for each in inspections if each.view is not None]
    projections = [view.projection for view in views if view.projection is not None]
    note = ", ".join(f"{symmetric_scale(each):.4g}" for each in projections) or "no projection"
    controls = [view.control for view in views if view.control is not None]
    scales = ", ".join(f"{symmetric_scale(control):.4g}" for control in controls)
    return f"{note}; controls (randomised weights): {scales}" if controls else note
