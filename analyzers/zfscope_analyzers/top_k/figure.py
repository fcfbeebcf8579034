"""Fig 2: for each map, the projections of its strongest photos beside the patches that they come from."""

import math
from collections.abc import Collection, Mapping, Sequence

from PIL import Image

from zfscope.analysis.contract import Picture, picture
from zfscope.images.geometry import Box
from zfscope.images.layout import FAINT, Colour, above, beside, blank, grid, page, text
from zfscope.images.preprocess import Preprocessing, reorder
from zfscope.images.render import symmetric_scale
from zfscope.images.tiles import Panel, columns_of, greyed, marked, tiles
from zfscope.records import RecordState
from zfscope.store import Model
from zfscope_analyzers.top_k.inspect import Inspection, Place, UnitView
from zfscope_analyzers.top_k.page import Page

# The tiles of one kind of one map, a square of nine, a row or a single one, are this wide.
_SIDE_PX = 264
_TILE_GAP, _KIND_GAP, _GAP = 3, 10, 30
_FEW = 9
_MARKS: Mapping[RecordState, Colour] = {
    RecordState.DIFFERS: (222, 102, 32),
    RecordState.CHANGED: (190, 40, 20),
    RecordState.GONE: (150, 50, 150),
    RecordState.SILENT: (140, 140, 140),
    RecordState.DEAD: (140, 140, 140),
}


def figure(
    model: Model, shown: Page, found: Mapping[Place, Inspection], places: Sequence[int], *, control: bool
) -> Picture:
    """Draw maps of a page, by their places there, in rows as the paper does."""
    by_map = {place: [found[Place(place, rank)] for rank in range(shown.top)] for place in places}
    cells = [_cell(model, shown, place, each, control=control) for place, each in by_map.items()]
    columns = min(len(cells), (3 if len(cells) <= _FEW else 4) - control)
    maps = grid(cells, columns, gap=_GAP)
    states = {each.state for place in places if shown.alive[place] for each in by_map[place]}
    drawn = page(
        _title(model, shown, places),
        [maps],
        scale=_scale_note(shown, by_map),
        subtitle=_subtitle(shown),
        caption=_caption(states, control=control),
        width_px=max(maps.width, 2 * _SIDE_PX + _KIND_GAP),
    )
    return picture("top-k", drawn)


def _title(model: Model, shown: Page, places: Sequence[int]) -> str:
    if len(places) == 1:
        return f"{shown.layer} of {model.name}"
    kind = "maps" if model.spec.is_map(shown.layer) else "units"
    return f"{shown.layer} of {model.name}: {len(places)} {kind}"


def _subtitle(shown: Page) -> str:
    photos = f"{shown.top} strongest photos" if shown.top > 1 else "strongest photo"
    return f"The {photos} of each among the {shown.images:,} of index '{shown.index.name}'"


def _cell(
    model: Model, shown: Page, place: int, found: Sequence[Inspection], *, control: bool
) -> Image.Image:
    kinds = 3 if control else 2
    width = kinds * _SIDE_PX + (kinds - 1) * _KIND_GAP
    label = text(_label(model, shown, place), width_px=width)
    columns = columns_of(shown.top)
    tile_px = (_SIDE_PX - (columns - 1) * _TILE_GAP) // columns
    if not shown.alive[place]:
        rows = math.ceil(shown.top / columns)
        white = blank(width, rows * tile_px + (rows - 1) * _TILE_GAP)  # as large as the tiles of others
        words = f"dead: active in none of {shown.images:,} photos"
        return above([label, marked(white, words, FAINT)], gap=6)
    records = [
        record_tiles(each.view, each.state, model.preprocessing, tile_px, control=control) for each in found
    ]
    sheets = [grid(kind, columns, gap=_TILE_GAP) for kind in zip(*records, strict=True)]
    return above([label, beside(sheets, gap=_KIND_GAP)], gap=6)


def _label(model: Model, shown: Page, place: int) -> str:
    """Name the map, or the unit and its class, and how strong its records are."""
    layer, map, records = shown.layer, shown.maps[place], shown.records[place]
    name, meaning = model.unit_name(layer, map), model.class_of(layer, map)
    name += f" ({meaning})" if meaning else ""
    if not shown.alive[place]:
        return f"{name} | dead"
    values = [record.value for record in records if record.value > 0]
    scale = f"{values[0]:.3g}" if len(values) == 1 else f"{max(values):.3g} to {min(values):.3g}"
    return f"{name} | {scale} | active in {shown.alive[place]:,} of {shown.images:,}"


def record_tiles(
    view: UnitView | None,
    state: RecordState,
    preprocessing: Preprocessing,
    size_px: int,
    *,
    control: bool = False,
) -> tuple[Image.Image, ...]:
    """Return projection, patch and control of a record, or white where nothing was seen; marked unless ok."""
    drawn: tuple[Image.Image, ...] = (blank(size_px, size_px),) * (3 if control else 2)
    if view is not None:
        size = len(view.patch)
        panel = Panel(
            caption="",
            projection=reorder(view.projection, preprocessing),
            view=greyed(view.patch, view.inside),
            box=Box(0, 0, size, size),
            control=None if view.control is None else reorder(view.control, preprocessing),
        )
        drawn = tiles(panel, size_px)
    return drawn if state is RecordState.OK else tuple(marked(tile, state, _MARKS[state]) for tile in drawn)


def _caption(states: Collection[RecordState], *, control: bool) -> str:
    words = (
        "Left: what the strongest unit of the map in each photo saw, carried back to pixels (grey is zero, "
        "white and black are equally strong, each projection on a scale of its own). Right of it: the same "
        "pixels of the photos, in the same order, the strongest first; grey where the photo ends."
    )
    if control:
        words += " Then a control: projections through randomised weights, each on its own scale."
    marks = [f"'{state}', {state.meaning}" for state in _MARKS if state in states]
    return f"{words} Framed: {'; '.join(marks)}." if marks else words


def _scale_note(shown: Page, by_map: Mapping[int, Sequence[Inspection]]) -> str:
    """Say what the levels mean, of each projection and control."""
    rule = (
        "each projection on a scale of its own: symmetric linear; 128 grey = 0; full white (255) = the "
        "number given here, full black (1) = minus that, beyond it too; the strongest photo first"
    )
    notes = [f"map {shown.maps[place]}: {_scales(found)}" for place, found in by_map.items()]
    return ". ".join([rule, *notes])


def _scales(found: Sequence[Inspection]) -> str:
    views = [each.view for each in found if each.view is not None]
    note = ", ".join(f"{symmetric_scale(view.projection):.4g}" for view in views) or "no projection"
    controls = [view.control for view in views if view.control is not None]
    scales = ", ".join(f"{symmetric_scale(control):.4g}" for control in controls)
    return f"{note}; controls (randomised weights): {scales}" if controls else note
