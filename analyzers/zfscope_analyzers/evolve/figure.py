"""Fig 4: a row for each map, a column for each epoch, and below how fast the maps settle."""

from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image, ImageDraw

from zfscope.analysis.contract import Picture, picture
from zfscope.engine.frame import slices
from zfscope.images.compose import FAINT, INK, Colour, above, beside, blank, framed, paragraph, text
from zfscope.images.geometry import Box
from zfscope.images.preprocess import reorder
from zfscope.images.render import GREY, Panel, Rendering, symmetric_scale, tiles
from zfscope_analyzers.evolve.course import Stop
from zfscope_analyzers.evolve.result import Evolution, Place, Seen
from zfscope_analyzers.top_k.look import Sight

_TILE_PX, _BAR_PX, _NAME_PX, _CURVE_PX = 128, 6, 90, 300
_TITLE, _BODY, _SMALL = 27, 16, 14
_TILE_GAP, _COLUMN_GAP, _ROW_GAP, _MARGIN = 2, 14, 16, 36
_JUMP: Colour = (240, 120, 0)
_MARKS: Mapping[Seen, tuple[Colour, str]] = {
    "differs": ((222, 102, 32), "the photo does not give the recorded activation"),
    "changed": ((190, 40, 20), "the file is not the one that was indexed"),
    "gone": ((150, 50, 150), "there is no such file, or none that can be read"),
    "silent": ((140, 140, 140), "the photo does not activate the map"),
    "dead": ((140, 140, 140), "no photo activates the map"),
}


def figure(found: Evolution) -> Picture:
    """Draw the maps, and the curve where it was measured."""
    stops, maps = found.course.stops, range(len(found.course.maps))
    rows = [_head(found), *(_row(found, map) for map in maps)]
    table = above(rows, gap=_ROW_GAP)
    width = max(table.width, 640)
    parts = [
        above(list(_heading(found, width)), gap=6),
        table,
        paragraph(_caption(found), _SMALL, width, FAINT),
    ]
    if found.settled is not None and len(stops) > 1:
        if any(each.median is not None for each in found.settled):
            parts.append(_curve(found, width))
        parts.append(paragraph(_curve_caption(found), _SMALL, width, FAINT))
    drawn = framed(above(parts, gap=24), _MARGIN)
    return picture("evolution", Rendering(np.asarray(drawn), _scale_note(found)))


def label_of(stop: Stop) -> str:
    """Name a stop: the number of its epoch; the last one of all too, where it is known."""
    if stop.epoch is not None:
        return str(stop.epoch)
    last = stop.model.manifest.provenance.epochs
    return "end" if last is None else f"{last} (end)"


def _heading(found: Evolution, width_px: int) -> Iterator[Image.Image]:
    end = found.course.end
    yield paragraph(f"{found.course.layer} of {end.model.name} while it was trained", _TITLE, width_px)
    words = f"The strongest of the {end.page.images:,} photos of index '{end.page.index.name}' at each epoch"
    yield paragraph(words, _BODY, width_px, FAINT)


def _head(found: Evolution) -> Image.Image:
    cells = [
        beside([blank(_BAR_PX, 1), _line(f"epoch {label_of(stop)}", _BODY, INK, _TILE_PX)], gap=0)
        for stop in found.course.stops
    ]
    return beside([blank(_NAME_PX, 1), *cells], gap=_COLUMN_GAP)


def _row(found: Evolution, map: int) -> Image.Image:
    cells = [_cell(found, Place(map, stop)) for stop in range(len(found.course.stops))]
    name = _line(f"map {found.course.maps[map]}", _BODY, INK, _NAME_PX)
    return beside([name, *cells], gap=_COLUMN_GAP)


def _cell(found: Evolution, place: Place) -> Image.Image:
    """Draw a map at an epoch: how strong it is, its projection, its patch; and a bar where it has jumped."""
    jumped, state = found.jumped(place), found.state(place)
    value = "" if state == "dead" else f"{found.record(place).value:.3g}"
    words = f"{value}  jump" if jumped else value
    shown = _tiles(found, found.looks[place].sight)
    if state != "ok":
        shown = [_marked(tile, state) for tile in shown]
    column = above(
        [_line(words, _SMALL, _JUMP if jumped else FAINT, _TILE_PX), above(shown, gap=_TILE_GAP)], gap=2
    )
    bar = blank(_BAR_PX, column.height)
    if jumped:
        bar.paste(_JUMP, (0, 0, _BAR_PX - 2, column.height))
    return beside([bar, column], gap=0)


def _tiles(found: Evolution, sight: Sight | None) -> list[Image.Image]:
    """Give projection and patch, grey where the photo ends: black would look like a part of it."""
    if sight is None:
        return [blank(_TILE_PX, _TILE_PX)] * 2
    size, inside = len(sight.patch), slices(sight.inside)
    patch = np.full_like(sight.patch, GREY)
    patch[inside] = sight.patch[inside]
    projection = reorder(sight.projection, found.course.end.model.preprocessing)
    panel = Panel("", projection, patch, Box(0, 0, size, size))
    return [Image.fromarray(tile) for tile in tiles(panel, _TILE_PX)]


def _marked(tile: Image.Image, state: Seen) -> Image.Image:
    """Frame a tile in the colour of its state, and write the word over it."""
    colour, marked = _MARKS[state][0], tile.copy()
    line = text(state, _SMALL, colour, width_px=tile.width - 6)
    marked.paste(line, ((tile.width - line.width) // 2, (tile.height - line.height) // 2))
    ImageDraw.Draw(marked).rectangle((0, 0, tile.width - 1, tile.height - 1), outline=colour, width=3)
    return marked


def _line(words: str, size_px: int, colour: Colour, width_px: int) -> Image.Image:
    """Write a line into a cell of constant width."""
    line = text(words, size_px, colour, width_px=width_px)
    cell = blank(width_px, line.height)
    cell.paste(line, (0, 0))
    return cell


def _caption(found: Evolution) -> str:
    words = (
        "Above: what the map's strongest unit in all photos saw, carried back to pixels with the weights "
        "of the epoch (grey is zero, white and black are equally strong, each projection on its own scale). "
        "Below it: the same pixels of the photo; grey where it ends. The number is the activation. An orange "
        "bar and the word jump: the photo is another one than in the column before."
    )
    states = {found.state(place) for place in found.looks}
    marks = [f"{state}: {meaning}" for state, (_, meaning) in _MARKS.items() if state in states]
    return f"{words} Framed are - {'; '.join(marks)}." if marks else words


def _curve(found: Evolution, width_px: int) -> Image.Image:
    """Draw the quartiles at the epochs that have any, evenly spaced as the columns are."""
    # It brings matplotlib, which only a drawing needs.
    from zfscope.images.curves import Band, plot_bands

    stops, numbers = found.course.stops, found.settled or ()
    known = [
        (at, (each.median, each.lower, each.upper))
        for at, each in enumerate(numbers)
        if each.median is not None
    ]
    at = np.array([at for at, _ in known], np.float64)
    quartiles = np.array([values for _, values in known], np.float64).reshape(-1, 3)
    band = Band(f"{found.course.layer}: median and quartiles", at, *quartiles.T)
    drawn = plot_bands(
        [band],
        title="How fast the maps settle",
        quantity="epoch",
        ticks=[label_of(stop) for stop in stops],
        measure="correlation with the end",
        width_px=width_px,
        height_px=_CURVE_PX,
    )
    return Image.fromarray(drawn)


def _curve_caption(found: Evolution) -> str:
    settled = found.settled or ()
    if all(each.median is None for each in settled):
        return (
            "How fast the maps settle cannot be shown: at the end these maps are dead, or their strongest "
            "photos are gone."
        )
    counts = ", ".join(str(each.maps) for each in settled)
    return (
        "Curve: each map's strongest photo of the end, projected from the same unit with the weights of each "
        "epoch, correlated with its projection at the end (1 is the same picture). Only of maps whose unit "
        f"is active at both: {counts} of {len(found.course.maps)}. Epochs are evenly spaced."
    )


def _scale_note(found: Evolution) -> str:
    """Say what the levels mean, of each projection."""
    rule = (
        "each projection on a scale of its own: symmetric linear; 128 grey = 0; full white (255) = the "
        "number below, full black (1) = minus that, beyond it too; epochs in order"
    )
    notes = [f"map {map}: {_scales(found, row)}" for row, map in enumerate(found.course.maps)]
    return ". ".join([rule, *notes])


def _scales(found: Evolution, map: int) -> str:
    stops = range(len(found.course.stops))
    sights = [found.looks[Place(map, stop)].sight for stop in stops]
    return ", ".join("none" if each is None else f"{symmetric_scale(each.projection):.4g}" for each in sights)
