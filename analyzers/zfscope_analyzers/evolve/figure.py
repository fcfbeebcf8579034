"""Fig 4: a row for each map, a column for each epoch, and below how fast the maps settle."""

import numpy as np
from PIL import Image

from zfscope.analysis.contract import Picture, picture
from zfscope.images.layout import FAINT, SMALL, Colour, above, beside, blank, cell, page, paragraph
from zfscope.images.render import symmetric_scale
from zfscope.records import RecordState
from zfscope_analyzers.evolve.evolution import Evolution, Place
from zfscope_analyzers.top_k.figure import record_tiles

_TILE_PX, _BAR_PX, _NAME_PX, _CURVE_PX = 128, 6, 90, 300
_TILE_GAP, _COLUMN_GAP, _ROW_GAP = 2, 14, 16
_LEAST_PX = 640
_JUMP: Colour = (240, 120, 0)


def figure(found: Evolution) -> Picture:
    """Draw the maps, and the curve where it was measured."""
    course, end = found.course, found.course.end.page
    table = above([_head(found), *(_row(found, map) for map in range(len(course.maps)))], gap=_ROW_GAP)
    width = max(table.width, _LEAST_PX)
    body, caption = [table], _caption(found)
    if found.settled is not None and len(course.stops) > 1:
        body.append(paragraph(caption, SMALL, width, FAINT))
        if any(each.median is not None for each in found.settled):
            body.append(_curve(found, width))
        caption = _curve_caption(found)
    drawn = page(
        f"{course.layer} of {course.end.model.name} while it was trained",
        body,
        scale=_scale_note(found),
        subtitle=f"The strongest of the {end.images:,} photos of index '{end.index.name}' at each epoch",
        caption=caption,
        width_px=width,
    )
    return picture("evolution", drawn)


def _head(found: Evolution) -> Image.Image:
    cells = [
        beside([blank(_BAR_PX, 1), cell(f"epoch {stop.label}", _TILE_PX)], gap=0)
        for stop in found.course.stops
    ]
    return beside([blank(_NAME_PX, 1), *cells], gap=_COLUMN_GAP)


def _row(found: Evolution, map: int) -> Image.Image:
    cells = [_cell(found, Place(map, stop)) for stop in range(len(found.course.stops))]
    return beside([cell(f"map {found.course.maps[map]}", _NAME_PX), *cells], gap=_COLUMN_GAP)


def _cell(found: Evolution, place: Place) -> Image.Image:
    """Draw a map at an epoch: how strong it is, its projection, its patch; and a bar where it has jumped."""
    jumped, seen = found.jumped(place), found.found[place]
    value = "" if seen.state is RecordState.DEAD else f"{found.record(place).value:.3g}"
    words, colour = (f"{value}  jump", _JUMP) if jumped else (value, FAINT)
    shown = record_tiles(seen.view, seen.state, found.course.end.model.preprocessing, _TILE_PX)
    label = cell(words, _TILE_PX, size_px=SMALL, colour=colour)
    column = above([label, above(shown, gap=_TILE_GAP)], gap=2)
    bar = blank(_BAR_PX, column.height)
    if jumped:
        bar.paste(_JUMP, (0, 0, _BAR_PX - 2, column.height))
    return beside([bar, column], gap=0)


def _caption(found: Evolution) -> str:
    words = (
        "Above: what the map's strongest unit in all photos saw, carried back to pixels with the weights "
        "of the epoch (grey is zero, white and black are equally strong, each projection on its own scale). "
        "Below it: the same pixels of the photo; grey where it ends. The number is the activation. An orange "
        "bar and the word jump: the photo is another one than in the column before."
    )
    states = {each.state for each in found.found.values()}
    marks = [f"{state}: {state.meaning}" for state in RecordState if state in states - {RecordState.OK}]
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
        ticks=[stop.label for stop in stops],
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
    views = [found.found[Place(map, stop)].view for stop in stops]
    return ", ".join("none" if each is None else f"{symmetric_scale(each.projection):.4g}" for each in views)
