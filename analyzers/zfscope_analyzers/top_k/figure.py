"""Fig 2: for each map, the projections of its strongest photos beside the patches that they come from."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from zfscope.analysis.contract import Picture, picture
from zfscope.engine.frame import slices
from zfscope.images.compose import FAINT, INK, Colour, above, beside, blank, framed, grid, paragraph, text
from zfscope.images.geometry import Box
from zfscope.images.preprocess import reorder
from zfscope.images.render import GREY, Panel, Rendering, Rgb, symmetric_scale, tiles
from zfscope.store import Model
from zfscope_analyzers.top_k.look import Look, Place, Sight, State
from zfscope_analyzers.top_k.page import Page

_SIDE_PX = 264
"""Of the tiles of one kind of one map: nine of them in a square, or a row, or a single one."""
_TITLE, _BODY, _SMALL = 27, 16, 14
_TILE_GAP, _KIND_GAP, _GAP, _MARGIN = 3, 10, 30, 36
_FEW = 9
_MARKS: Mapping[State, tuple[Colour, str]] = {
    "differs": ((222, 102, 32), "the photo does not give the recorded activation"),
    "changed": ((190, 40, 20), "the file is not the one that was indexed"),
    "gone": ((150, 50, 150), "there is no such file, or none that can be read"),
    "silent": ((140, 140, 140), "the photo does not activate the map"),
}


def figure(
    model: Model, page: Page, looks: Mapping[Place, Look], places: Sequence[int], *, control: bool
) -> Picture:
    """Draw maps of a page, by their places there, in rows as the paper does."""
    cells = [_cell(model, page, place, _of_map(page, looks, place), control=control) for place in places]
    columns = min(len(cells), (3 if len(cells) <= _FEW else 4) - control)
    maps = grid(cells, columns, gap=_GAP, row_gap=_GAP)
    alive = [place for place in places if page.alive[place]]
    states = {look.state for place in alive for look in _of_map(page, looks, place)}
    page_px = max(maps.width, 2 * _SIDE_PX + _KIND_GAP)
    heading = above(list(_heading(model, page, places, page_px)), gap=6)
    caption = paragraph(_caption(page, states, control=control), _SMALL, page_px, FAINT)
    drawn = framed(above([heading, maps, caption], gap=24), _MARGIN)
    return picture("top-k", Rendering(np.asarray(drawn), _scale_note(page, looks, places)))


def _of_map(page: Page, looks: Mapping[Place, Look], place: int) -> list[Look]:
    return [looks[Place(place, rank)] for rank in range(page.top)]


def _heading(model: Model, page: Page, places: Sequence[int], width_px: int) -> Iterator[Image.Image]:
    kind = "maps" if len(model.network.shapes[page.layer]) == 3 else "units"
    title = f"{page.layer} of {model.name}: {len(places)} {kind}"
    if len(places) == 1:
        title = f"{page.layer} of {model.name}"
    photos = f"{page.top} strongest photos" if page.top > 1 else "strongest photo"
    yield paragraph(title, _TITLE, width_px)
    words = f"The {photos} of each among the {page.images:,} of index '{page.index.name}'"
    yield paragraph(words, _BODY, width_px, FAINT)


def _cell(model: Model, page: Page, place: int, looks: Sequence[Look], *, control: bool) -> Image.Image:
    kinds = 3 if control else 2
    width = kinds * _SIDE_PX + (kinds - 1) * _KIND_GAP
    if not page.alive[place]:
        return above([_label(model, page, place, width), _dead(page, width)], gap=6)
    rows = [_tiles(model, look, _tile_px(page.top), kinds) for look in looks]
    columns = _columns(page.top)
    sheets = [
        grid([row[kind] for row in rows], columns, gap=_TILE_GAP, row_gap=_TILE_GAP) for kind in range(kinds)
    ]
    return above([_label(model, page, place, width), beside(sheets, gap=_KIND_GAP)], gap=6)


def _label(model: Model, page: Page, place: int, width_px: int) -> Image.Image:
    """Name the map, or the unit and its class, and how strong its records are."""
    layer, map, records = page.layer, page.maps[place], page.records[place]
    shape, last = model.network.shapes[layer], model.network.spec.layers[-1].name
    name = f"map {map}" if len(shape) == 3 else f"unit {map}"
    if layer == last and model.labels:
        name += f" ({model.labels[map].name})"
    if not page.alive[place]:
        return text(f"{name} | dead", _BODY, INK, width_px=width_px)
    values = [record.value for record in records if record.value > 0]
    scale = f"{values[0]:.3g}" if len(values) == 1 else f"{max(values):.3g} to {min(values):.3g}"
    words = f"{name} | {scale} | active in {page.alive[place]:,} of {page.images:,}"
    return text(words, _BODY, INK, width_px=width_px)


def _dead(page: Page, width_px: int) -> Image.Image:
    """Draw what stands for the tiles of a dead map, as large as they are."""
    rows = math.ceil(page.top / _columns(page.top))
    height = rows * _tile_px(page.top) + (rows - 1) * _TILE_GAP
    words = f"dead: active in none of {page.images:,} photos"
    return _framed_words(blank(width_px, height), words, FAINT)


def _tiles(model: Model, look: Look, size_px: int, kinds: int) -> list[Image.Image]:
    """Draw projection, patch and control of a record; where there is a mark, it is on each of them."""
    if look.sight is None:
        drawn = [blank(size_px, size_px)] * kinds
    else:
        drawn = [Image.fromarray(tile) for tile in tiles(_panel(model, look.sight), size_px)]
    return drawn if look.state == "ok" else [_marked(tile, look.state) for tile in drawn]


def _panel(model: Model, sight: Sight) -> Panel:
    steps, size = model.preprocessing, len(sight.patch)
    control = None if sight.control is None else reorder(sight.control, steps)
    return Panel("", reorder(sight.projection, steps), _greyed(sight), Box(0, 0, size, size), control)


def _greyed(sight: Sight) -> Rgb:
    """Give the patch with grey where the photo ends: black would look like a part of it."""
    shown = np.full_like(sight.patch, GREY)
    shown[slices(sight.inside)] = sight.patch[slices(sight.inside)]
    return shown


def _marked(tile: Image.Image, state: State) -> Image.Image:
    """Frame a tile in the colour of its state, and write the word over it."""
    return _framed_words(tile, state, _MARKS[state][0])


def _framed_words(tile: Image.Image, words: str, colour: Colour) -> Image.Image:
    marked, line = tile.copy(), text(words, _SMALL, colour, width_px=tile.width - 6)
    middle = ((tile.width - line.width) // 2, (tile.height - line.height) // 2)
    marked.paste(line, middle)
    ImageDraw.Draw(marked).rectangle((0, 0, tile.width - 1, tile.height - 1), outline=colour, width=3)
    return marked


def _columns(top: int) -> int:
    """Give the tiles of a row: 3 x 3 of nine as in the paper, 2 x 2 of four, one row of fewer."""
    return top if top < 4 else math.ceil(math.sqrt(top))


def _tile_px(top: int) -> int:
    columns = _columns(top)
    return (_SIDE_PX - (columns - 1) * _TILE_GAP) // columns


def _caption(page: Page, states: Collection[State], *, control: bool) -> str:
    words = (
        "Left: what the strongest unit of the map in each photo saw, carried back to pixels (grey is zero, "
        "white and black are equally strong, each projection on a scale of its own). Right of it: the same "
        "pixels of the photos, in the same order, the strongest first; grey where the photo ends."
    )
    if control:
        words += " Then a control: projections through randomised weights, each on its own scale."
    marks = [f"'{state}', {meaning}" for state, (_, meaning) in _MARKS.items() if state in states]
    return f"{words} Framed: {'; '.join(marks)}." if marks else words


def _scale_note(page: Page, looks: Mapping[Place, Look], places: Sequence[int]) -> str:
    """Say what the levels mean, of each projection and control."""
    rule = (
        "each projection on a scale of its own: symmetric linear; 128 grey = 0; full white (255) = the "
        "number given here, full black (1) = minus that, beyond it too; the strongest photo first"
    )
    notes = [f"map {page.maps[place]}: {_scales(_of_map(page, looks, place))}" for place in places]
    return ". ".join([rule, *notes])


def _scales(looks: Sequence[Look]) -> str:
    sights = [look.sight for look in looks if look.sight is not None]
    note = ", ".join(f"{symmetric_scale(sight.projection):.4g}" for sight in sights) or "no projection"
    controls = [sight.control for sight in sights if sight.control is not None]
    scales = ", ".join(f"{symmetric_scale(control):.4g}" for control in controls)
    return f"{note}; controls (randomised weights): {scales}" if controls else note
