"""The comparison as one figure: filters, projections of layer 2, charts and a table (Fig 6)."""

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
from zfscope_analyzers.architectures.measure import FilterSizes, Measurements
from zfscope_analyzers.architectures.spectrum import HIGH_ABOVE, LOW_BELOW
from zfscope_analyzers.architectures.table import comparison_table

# One scale for all filters, on which a dominant one leaves the others grey, or one scale per filter.
Scale = Literal["common", "individual"]

if TYPE_CHECKING:  # imports matplotlib, which only drawing needs
    from zfscope.images.curves import Chart

WIDTH_PX = 1440
_GAP = 24
_INNER_PX = WIDTH_PX - 2 * layout.MARGIN
_PICTURE_PX = (_INNER_PX - 2 * _GAP) // 3
_CROP_PX, _ENLARGED, _TILES, _TILE_GAP = 72, 2, 3, 2
_CHART_PX, _LABEL_PX, _LINE_GAP, _CELL_GAP = 290, 420, 4, 12
# Edges of the histogram of peak frequencies; the last one is above sqrt(1/2), the largest radial frequency.
_BINS = np.arange(17) / 24

_CAPTION = (
    "Filters: grey is zero, white and black are equally strong. On one common scale a dominant filter "
    "leaves the others grey; on individual scales dead filters show noise. Layer 2: whole feature maps, "
    "each projected from the photo that activates it most, cropped to the 72 pixels around the maximum, "
    "each on its own scale. Charts: dotted lines separate low, middle and high frequencies. Table: a grid "
    "is the energy of layer-2 projections at the frequencies of a layer's lattice; its controls are the "
    "energy at adjacent frequencies and the share with random weights."
)


def draw_comparison(measures: Sequence[Measurements], indexes: Sequence[Index] = ()) -> Rendering:
    """Draw the figure, `WIDTH_PX` wide: a row of pictures per model, then charts and a table of all models.

    indexes: see `comparison_table`.
    """
    from zfscope.images.curves import plot_charts

    charts = Image.fromarray(plot_charts(_charts(measures), width_px=_INNER_PX, height_px=_CHART_PX))
    return layout.page(
        "Architectures compared",
        [*(_row(each) for each in measures), charts, _draw_table(comparison_table(measures, indexes))],
        scale="; ".join(_note(each) for each in measures),
        caption=_CAPTION,
        width_px=_INNER_PX,
    )


def _row(measures: Measurements) -> Image.Image:
    count, _, rows, columns = measures.filters.shape
    name, stride = measures.layers.first.name, measures.layers.stride
    names = f"{name}: {count} filters of {rows} x {columns}, stride {stride}"
    heading = layout.text(f"{measures.title}   {names}", layout.HEADING, width_px=_INNER_PX)
    pictures = {
        f"{name}, all filters on one common scale": _filters(measures, "common"),
        f"{name}, each filter on its own scale": _filters(measures, "individual"),
        f"{measures.layers.second.name}, projections of feature maps": _projections(measures.projections),
    }
    panels = [_panel(picture, caption) for caption, picture in pictures.items()]
    return layout.vstack([heading, layout.hstack(panels, gap=_GAP)], gap=10)


def _panel(picture: Image.Image, caption: str) -> Image.Image:
    whole = layout.blank(_PICTURE_PX, picture.height)
    whole.paste(picture, (0, 0))
    return layout.vstack([whole, layout.text(caption, colour=layout.FAINT, width_px=_PICTURE_PX)], gap=6)


def _filters(measures: Measurements, scale: Scale) -> Image.Image:
    drawn = filter_grid(measures.filters, scale, width_px=_PICTURE_PX)
    return Image.fromarray(drawn.rgb)


def filter_grid(filters: NDArray[np.floating], scale: Scale, *, width_px: int) -> Rendering:
    """Draw filters, (n, 3, k, k) in RGB or (n, 1, k, k) in grey, in a square grid in reading order.

    The grid is at most `width_px` wide.

    Each weight is a square of at least one whole pixel, so the grid of many large filters may exceed
    `width_px`. White and black stand for the largest magnitude, of all filters or of each one: no weight is
    clipped. A filter whose weights are all rounding next to the largest weight is grey on its own scale too.
    Raises InputError for an empty array and for filters of another number of channels.
    """
    if filters.ndim != 4 or not len(filters) or filters.shape[1] not in (1, 3):
        expected = "(n, 3, rows, columns) or (n, 1, rows, columns)"
        raise InputError(f"cannot draw filters of shape {filters.shape}; expected {expected}")
    columns = math.ceil(math.sqrt(len(filters)))
    factor = max(1, (width_px - (columns - 1) * _TILE_GAP) // (columns * filters.shape[3]))
    largest = np.abs(filters).max(axis=(1, 2, 3))
    alive = largest > rounding(float(largest.max()))
    limits = np.full_like(largest, largest.max()) if scale == "common" else np.where(alive, largest, 0)
    tiles = [
        _enlarge(Image.fromarray(signed_to_rgb(each, scale=float(limit))), factor)
        for each, limit in zip(filters, limits, strict=True)
    ]
    picture = layout.grid(tiles, columns, gap=_TILE_GAP)
    return Rendering(np.asarray(picture), _filter_note(scale, float(largest.max())))


def crop_strongest(projection: NDArray[np.floating], size_px: int) -> NDArray[np.floating]:
    """Crop a projection, (C, H, W), to the square with this side around its largest magnitude.

    The square is moved to lie inside the projection, and is smaller where the projection is.
    """
    strength = np.abs(projection).max(axis=0)
    starts = (
        min(max(0, peak - size_px // 2), max(0, side - size_px))
        for peak, side in zip(
            np.unravel_index(strength.argmax(), strength.shape), strength.shape, strict=True
        )
    )
    top, left = map(int, starts)
    return projection[:, top : top + size_px, left : left + size_px]


def _enlarge(tile: Image.Image, factor: int) -> Image.Image:
    return tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)


def _filter_note(scale: Scale, largest: float) -> str:
    if scale == "common":
        return f"all filters on one common scale: {scale_note(largest)}"
    return f"each filter on its own scale, at most {largest:.4g}: symmetric linear; 128 grey = 0"


def _projections(projections: NDArray[np.float32]) -> Image.Image:
    side = _ENLARGED * _CROP_PX
    tiles = [Image.fromarray(signed_to_rgb(crop_strongest(each, _CROP_PX))) for each in projections]
    enlarged = [tile.resize((side, side), Image.Resampling.NEAREST) for tile in tiles]
    return layout.grid(enlarged, _TILES, gap=_TILE_GAP) if enlarged else layout.blank(side, side)


def _charts(measures: Sequence[Measurements]) -> "Sequence[Chart]":
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
        Chart("Peak frequencies of the filters", frequency, "filters (%)", peaks, bands),
        Chart("RMS of the filters, largest first", "filters (%)", "RMS / median", sizes),
        Chart(
            "Projections of layer 2, horizontal and vertical",
            frequency,
            "power (white noise: 1)",
            profiles,
            logarithmic=True,
        ),
    )


_Line = tuple[NDArray[np.float64], NDArray[np.float64]]


def _histogram(peaks: NDArray[np.float64]) -> _Line:
    """Return the outline of the histogram: both edges of each bin, and its share of the filters in %."""
    shares = 100 * np.histogram(peaks, _BINS)[0] / len(peaks)
    return np.repeat(_BINS, 2)[1:-1], np.repeat(shares, 2)


def _ranked(sizes: FilterSizes) -> _Line:
    """Return the sizes divided by their median; undivided where the median is zero up to rounding."""
    unit = 1.0 if sizes.dominance is None else sizes.radius
    return np.linspace(0, 100, len(sizes.rms)), np.sort(sizes.rms)[::-1] / unit


def _frequencies(profile: NDArray[np.float64]) -> _Line:
    return np.linspace(0, 1 / 2, len(profile)), profile


def _draw_table(numbers: Table) -> Image.Image:
    """Draw the table: labels on the left, one column of numbers per model."""
    column_px = (_INNER_PX - _LABEL_PX) // (len(numbers.columns) - 1)
    head = _line(numbers.columns, column_px, layout.FAINT)
    return layout.vstack([head, *(_line(row, column_px, layout.INK) for row in numbers.rows)], gap=_LINE_GAP)


def _line(cells: Sequence[Cell], column_px: int, colour: layout.Colour) -> Image.Image:
    numbers = [
        layout.cell(_format_cell(each), column_px, colour=colour, gap_px=_CELL_GAP) for each in cells[1:]
    ]
    return layout.hstack(
        [layout.cell(str(cells[0]), _LABEL_PX, colour=layout.FAINT, gap_px=_CELL_GAP), *numbers], gap=0
    )


def _format_cell(value: Cell) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "-" if value is None else str(value)


def _note(measures: Measurements) -> str:
    largest = float(np.abs(measures.filters).max())
    return f"{measures.title}: full white of the filters on the common scale = {largest:+.4g}"
