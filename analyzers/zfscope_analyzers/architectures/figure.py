"""The comparison as one sheet: filters, what layer 2 shows, curves and numbers (Fig 6)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.errors import InputError
from zfscope.images import layout
from zfscope.images.render import Rendering, scale_note, signed_to_rgb
from zfscope.results import Cell, Table
from zfscope.rounding import rounding
from zfscope.scan import Index
from zfscope_analyzers.architectures.measure import Measures, Sizes
from zfscope_analyzers.architectures.spectrum import HIGH_ABOVE, LOW_BELOW
from zfscope_analyzers.architectures.table import table

# One scale for all filters, on which a large one leaves the others grey, or one for each of them.
Scale = Literal["common", "own"]

if TYPE_CHECKING:  # it brings matplotlib, which only a drawing needs
    from zfscope.images.curves import Chart

WIDTH_PX = 1440
_GAP = 24
_INNER_PX = WIDTH_PX - 2 * layout.MARGIN
_PICTURE_PX = (_INNER_PX - 2 * _GAP) // 3
_PART_PX, _ENLARGED, _TILES, _TILE_GAP = 72, 2, 3, 2
_CHART_PX, _WORDS_PX, _LINE_GAP, _CELL_GAP = 290, 420, 4, 12
_BINS = np.arange(17) / 24
"""Edges of the histogram of peaks; the last one is beyond sqrt(1/2), where frequencies end."""

_CAPTION = (
    "Filters: zero is grey, white and black are equally strong; on one scale a dominant filter leaves the "
    "others grey, on scales of their own dead ones show noise. Layer 2: whole maps, projected from the photo "
    "that excites each most; the 72 pixels around the strongest, each on a scale of its own. Charts: dotted "
    "lines part low, middle and high frequencies. Table: a grid is the energy of layer-2 projections at the "
    "frequencies of a layer's lattice; its controls are what lies beside these, and what random weights give."
)


def figure(measures: Sequence[Measures], indexes: Sequence[Index] = ()) -> Rendering:
    """Draw a sheet, `WIDTH_PX` wide: a row of pictures for each model, charts and a table of all.

    indexes: see `table`.
    """
    from zfscope.images.curves import plot_charts

    charts = Image.fromarray(plot_charts(_charts(measures), width_px=_INNER_PX, height_px=_CHART_PX))
    return layout.page(
        "Architectures compared",
        [*(_row(each) for each in measures), charts, _drawn(table(measures, indexes))],
        scale="; ".join(_note(each) for each in measures),
        caption=_CAPTION,
        width_px=_INNER_PX,
    )


def _row(measures: Measures) -> Image.Image:
    count, _, kernel, _ = measures.filters.shape
    name, stride = measures.layers.first.name, measures.layers.stride
    names = f"{name}: {count} filters of {kernel} x {kernel}, stride {stride}"
    heading = layout.text(f"{measures.title}   {names}", layout.HEADING, width_px=_INNER_PX)
    pictures = {
        f"{name}, all filters on one scale": _filters(measures, own=False),
        f"{name}, each filter on its own scale": _filters(measures, own=True),
        f"{measures.layers.second.name}, projections of maps": _projections(measures.projections),
    }
    panels = [_panel(picture, words) for words, picture in pictures.items()]
    return layout.above([heading, layout.beside(panels, gap=_GAP)], gap=10)


def _panel(picture: Image.Image, words: str) -> Image.Image:
    whole = layout.blank(_PICTURE_PX, picture.height)
    whole.paste(picture, (0, 0))
    return layout.above([whole, layout.text(words, colour=layout.FAINT, width_px=_PICTURE_PX)], gap=6)


def _filters(measures: Measures, *, own: bool) -> Image.Image:
    drawn = filter_grid(measures.filters, "own" if own else "common", width_px=_PICTURE_PX)
    return Image.fromarray(drawn.rgb)


def filter_grid(filters: NDArray[np.floating], scale: Scale, *, width_px: int) -> Rendering:
    """Draw filters, (n, 3, k, k) RGB, in a square grid, in reading order, at most `width_px` wide.

    Every weight is a square of whole pixels, one at least, even where the grid becomes wider so. White and
    black are the largest magnitude there is, of all filters or of each: no weight is cut off. A filter whose
    weights are all rounding of the largest one is grey on its own scale too.
    Raises InputError for none, and for filters that do not have three colours.
    """
    if filters.ndim != 4 or not len(filters) or filters.shape[1] != 3:
        raise InputError(f"filters of shape {filters.shape}; pictures are drawn of (n, 3, rows, columns)")
    columns = math.ceil(math.sqrt(len(filters)))
    factor = max(1, (width_px - (columns - 1) * _TILE_GAP) // (columns * filters.shape[3]))
    largest = np.abs(filters).max(axis=(1, 2, 3))
    alive = largest > rounding(float(largest.max()))
    full = np.full_like(largest, largest.max()) if scale == "common" else np.where(alive, largest, 0)
    tiles = [
        _enlarged(Image.fromarray(signed_to_rgb(each, scale=float(most))), factor)
        for each, most in zip(filters, full, strict=True)
    ]
    picture = layout.grid(tiles, columns, gap=_TILE_GAP)
    return Rendering(np.asarray(picture), _filter_note(scale, float(largest.max())))


def strongest_part(projection: NDArray[np.floating], size_px: int) -> NDArray[np.floating]:
    """Cut the square of that side around the largest magnitude out of a projection, (3, H, W).

    It lies inside, and is smaller where the projection is.
    """
    strength = np.abs(projection).max(axis=0)
    starts = (
        min(max(0, place - size_px // 2), max(0, side - size_px))
        for place, side in zip(
            np.unravel_index(strength.argmax(), strength.shape), strength.shape, strict=True
        )
    )
    top, left = map(int, starts)
    return projection[:, top : top + size_px, left : left + size_px]


def _enlarged(tile: Image.Image, factor: int) -> Image.Image:
    return tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)


def _filter_note(scale: Scale, largest: float) -> str:
    if scale == "common":
        return f"all filters on one scale: {scale_note(largest)}"
    return f"each filter on a scale of its own, {largest:.4g} at most: symmetric linear; 128 grey = 0"


def _projections(projections: NDArray[np.float32]) -> Image.Image:
    side = _ENLARGED * _PART_PX
    tiles = [Image.fromarray(signed_to_rgb(strongest_part(each, _PART_PX))) for each in projections]
    enlarged = [tile.resize((side, side), Image.Resampling.NEAREST) for tile in tiles]
    return layout.grid(enlarged, _TILES, gap=_TILE_GAP) if enlarged else layout.blank(side, side)


def _charts(measures: Sequence[Measures]) -> "Sequence[Chart]":
    from zfscope.images.curves import Chart

    bands, frequency = (LOW_BELOW, HIGH_ABOVE), "cycles per pixel"
    spectra = {each.title: (each.spectrum.frequencies, each.spectrum.density) for each in measures}
    peaks = {each.title: _histogram(each.spectrum.peaks) for each in measures}
    sizes = {each.title: _ranked(each.sizes) for each in measures}
    profiles = {each.title: _frequencies(each.profile) for each in measures}
    return (
        Chart(
            "Spectrum of the filters", frequency, "power (white noise: 1)", spectra, bands, logarithmic=True
        ),
        Chart("Frequencies that filters pass best", frequency, "filters (%)", peaks, bands),
        Chart("Size of the filters, largest first", "filters (%)", "RMS / median", sizes),
        Chart(
            "Projections of layer 2, across and down",
            frequency,
            "power (white noise: 1)",
            profiles,
            logarithmic=True,
        ),
    )


_Line = tuple[NDArray[np.float64], NDArray[np.float64]]


def _histogram(peaks: NDArray[np.float64]) -> _Line:
    """Return the outline of a histogram: both ends of each bin."""
    shares = 100 * np.histogram(peaks, _BINS)[0] / len(peaks)
    return np.repeat(_BINS, 2)[1:-1], np.repeat(shares, 2)


def _ranked(sizes: Sizes) -> _Line:
    """Return the sizes over their median; as they are where that is zero but for rounding."""
    unit = 1.0 if sizes.dominance is None else sizes.radius
    return np.linspace(0, 100, len(sizes.rms)), np.sort(sizes.rms)[::-1] / unit


def _frequencies(profile: NDArray[np.float64]) -> _Line:
    return np.linspace(0, 1 / 2, len(profile)), profile


def _drawn(numbers: Table) -> Image.Image:
    """Draw a table: words on the left, numbers in columns."""
    column_px = (_INNER_PX - _WORDS_PX) // (len(numbers.columns) - 1)
    head = _line(numbers.columns, column_px, layout.FAINT)
    return layout.above([head, *(_line(row, column_px, layout.INK) for row in numbers.rows)], gap=_LINE_GAP)


def _line(cells: Sequence[Cell], column_px: int, colour: layout.Colour) -> Image.Image:
    numbers = [layout.cell(_shown(each), column_px, colour=colour, gap_px=_CELL_GAP) for each in cells[1:]]
    return layout.beside(
        [layout.cell(str(cells[0]), _WORDS_PX, colour=layout.FAINT, gap_px=_CELL_GAP), *numbers], gap=0
    )


def _shown(value: Cell) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "-" if value is None else str(value)


def _note(measures: Measures) -> str:
    largest = float(np.abs(measures.filters).max())
    return f"{measures.title}: full white of the filters on one scale = {largest:+.4g}"
