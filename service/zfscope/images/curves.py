"""Line charts drawn with matplotlib: training history, invariance, and comparison of architectures."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zfscope.cancellation import checkpoint
from zfscope.errors import InputError
from zfscope.images.chunks import PICTURE_KEY
from zfscope.images.layout import COLOURS, font_text, palette_colour
from zfscope.images.plotting import (
    Artist,
    Axes,
    Figure,
    FigureCanvasAgg,
    MaxNLocator,
    RendererBase,
    SubplotSpec,
    drawing,
)
from zfscope.images.render import Rendering, Rgb
from zfscope.rounding import is_level, rounding

_COLUMNS, _DPI = 2, 144
_BLUE, _RED, _GRID = "#3366aa", "#d6455d", "#e4e4e4"
_MARK, _CHART_DPI = "#707070", 100
_STRIP_WIDTH, _STRIP_HEIGHT, _LEGEND_COLUMNS = 14, 2.6, 5
# Labels below an axis that are longer in total are slanted; lines in a column of the legend of bands.
_TICK_CHARS, _LEGEND_ROWS = 60, 16


@dataclass(frozen=True)
class _Plot:
    """One plot of the training history. lines: legend label of each key of the history."""

    title: str
    lines: Mapping[str, str]


_PLOTS = (
    _Plot("Training loss", {"train_loss": "training"}),
    _Plot("Validation accuracy (%)", {"val_top1": "top-1", "val_top5": "top-5"}),
    _Plot("Roughness of conv1 filters (noise = 1)", {"roughness": "median"}),
    _Plot("Learning rate", {"lr": "end of epoch"}),
)


def plot_history(history: Sequence[Mapping[str, float]]) -> bytes:
    """Return a PNG of training curves over epochs: loss, accuracy, filter roughness, learning rate.

    Each entry is one epoch with the keys `epoch`, `train_loss`, `val_top1` and `val_top5` (percent),
    `roughness` and `lr`. A plot is omitted if no epoch has its keys; other keys are ignored.
    Raises InputError if no known key is present.
    """
    plots = [plot for plot in _PLOTS if any(key in entry for key in plot.lines for entry in history)]
    if not plots:
        known = ", ".join(key for plot in _PLOTS for key in plot.lines)
        raise InputError(f"the history of {len(history)} epochs has none of the keys to plot: {known}")
    rows = math.ceil(len(plots) / _COLUMNS)
    file = io.BytesIO()
    with drawing():
        figure = Figure(figsize=(4.2 * _COLUMNS, 2.9 * rows), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        for index, plot in enumerate(plots, 1):
            _plot_history_lines(figure.add_subplot(rows, _COLUMNS, index), plot, history)
        figure.savefig(file, format="png", metadata={"Software": None, PICTURE_KEY: "curves"})
    return file.getvalue()


def _plot_history_lines(axes: Axes, plot: _Plot, history: Sequence[Mapping[str, float]]) -> None:
    """Plot a line per key; the legend shows its latest value, which readers look for first."""
    for (key, label), colour in zip(plot.lines.items(), (_BLUE, _RED), strict=False):
        points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
        if points:
            epochs, values = zip(*points, strict=True)
            name = f"{label}: {values[-1]:.3g}"
            axes.plot(epochs, values, color=colour, label=name, marker="o", markersize=3, linewidth=1.6)
    axes.set_title(plot.title, fontsize=11, loc="left")
    axes.set_xlim(*_first_and_last_epoch(history))
    _style_history_axes(axes)


def _first_and_last_epoch(history: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    epochs = [entry["epoch"] for entry in history]
    return min(epochs) - 0.5, max(epochs) + 0.5


def _style_history_axes(axes: Axes) -> None:
    axes.set_xlabel("epoch", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(y=0.1)
    _widen_constant_range(axes)
    axes.legend(frameon=False, fontsize=9)
    _style_axes(axes)


def _widen_constant_range(axes: Axes) -> None:
    """Widen the vertical axis if all values are equal up to rounding.

    Autoscaling would magnify the rounding errors.
    """
    low, high = axes.dataLim.intervaly
    if np.isfinite((low, high)).all() and is_level((low, high)):
        middle = (low + high) / 2
        half_range = abs(middle) / 2 or 1.0
        axes.set_ylim(middle - half_range, middle + half_range)


def _line_colour(index: int) -> Sequence[float]:
    """Return the colour of the line with this index, as RGB from 0 to 1."""
    return [level / 255 for level in palette_colour(index)]


def _label_axes(axes: Axes, title: str, quantity: str, measure: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(quantity, fontsize=9)
    axes.set_ylabel(measure, fontsize=9)


def _style_axes(axes: Axes) -> None:
    axes.tick_params(labelsize=9)
    axes.grid(visible=True, color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


@dataclass(frozen=True, eq=False)
class Strip:
    """Row of a strip figure: example pictures of a transformation, and plots of its effect.

    quantity: label of the horizontal axis, with its unit. unit: suffix of the values above the pictures.
    values: (n,), positions on the horizontal axis. shown: pictures, uint8 (H, W, 3), by value.
    plots: heights (lines, n) for each column of the figure.
    """

    quantity: str
    unit: str
    values: NDArray[np.floating]
    shown: Mapping[float, Rgb]
    plots: Sequence[NDArray[np.floating]]


def plot_strips(
    strips: Sequence[Strip],
    columns: Mapping[str, float | None],
    lines: Sequence[str],
    *,
    title: str,
    note: str,
) -> Rendering:
    """Return a figure laid out like Fig 5 of the paper: one row per strip, its pictures and then its plots.

    columns: label of the vertical axis of each column, and its maximum, shared by all rows to make them
    comparable; None: the largest value of the column, or 1 if all values are rounding errors. lines: names of
    the lines in the legend. note: description stored in the PNG.
    """
    with drawing():
        figure = Figure(
            figsize=(_STRIP_WIDTH, _STRIP_HEIGHT * len(strips) + 1), dpi=_DPI, layout="constrained"
        )
        grid = figure.add_gridspec(len(strips), 1 + len(columns), width_ratios=[1.5] + [1.0] * len(columns))
        for row, strip in enumerate(strips):
            _draw_pictures(figure, grid[row, 0], strip)
            for column, (label, maximum) in enumerate(columns.items()):
                checkpoint()
                axes = figure.add_subplot(grid[row, 1 + column])
                top = _column_maximum(strips, column) if maximum is None else maximum
                _plot_strip_lines(axes, strip, strip.plots[column], lines)
                axes.set_ylim(-0.03 * top, 1.06 * top)
                axes.set_ylabel(label, fontsize=9)
        figure.suptitle(_escape(title), fontsize=12, x=0.01, ha="left")
        handles = figure.axes[-1].get_lines()
        figure.legend(
            handles=handles, loc="outside lower center", ncols=_LEGEND_COLUMNS, frameon=False, fontsize=9
        )
        return Rendering(_rasterise(figure), note)


def _column_maximum(strips: Sequence[Strip], column: int) -> float:
    """Return the largest value of a column of plots; 1 if all values are rounding errors relative to 1."""
    largest = max(float(strip.plots[column].max()) for strip in strips)
    return largest if largest > rounding(1) else 1.0


class _CheckpointArtist(Artist):
    """Invisible artist that checks for cancellation while matplotlib lays out and draws the figure."""

    def draw(self, renderer: RendererBase) -> None:
        checkpoint()

    def get_tightbbox(self, renderer: RendererBase | None = None) -> None:
        """Return None: takes no space in the layout."""
        checkpoint()


def _rasterise(figure: Figure) -> Rgb:
    """Lay out and draw a figure; return its pixels."""
    for axes in figure.axes:
        axes.add_artist(_CheckpointArtist()).set_clip_on(False)  # the layout skips clipped artists
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib has no type here
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return pixels[..., :3].copy()


def _draw_pictures(figure: Figure, cell: SubplotSpec, strip: Strip) -> None:
    """Draw the pictures of a strip in two rows, each titled with its value."""
    columns = max(1, math.ceil(len(strip.shown) / 2))
    grid = cell.subgridspec(2, columns, wspace=0.04, hspace=0.04)
    for index, (value, picture) in enumerate(strip.shown.items()):
        checkpoint()
        axes = figure.add_subplot(grid[index // columns, index % columns])
        axes.imshow(picture, interpolation="antialiased")
        axes.set_title(f"{value:g}{strip.unit}", fontsize=8, pad=2)
        axes.set_axis_off()


def _plot_strip_lines(axes: Axes, strip: Strip, heights: NDArray[np.floating], names: Sequence[str]) -> None:
    """Plot a line per name. Colours repeat after the last one, with dashed lines."""
    order = np.argsort(strip.values, kind="stable")
    for index, (line, name) in enumerate(zip(heights, names, strict=True)):
        axes.plot(
            strip.values[order],
            line[order],
            color=_line_colour(index),
            linestyle="-" if index < len(COLOURS) else "--",
            label=_escape(name),
            marker="o",
            markersize=2.5,
            linewidth=1.4,
        )
    axes.set_xlabel(strip.quantity, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    _style_axes(axes)


@dataclass(frozen=True, eq=False)
class Chart:
    """Line chart.

    quantity, measure: labels of the horizontal and vertical axis, with units. lines: arrays (x, y) of each
    line by its name in the legend. marks: positions of vertical marks on the horizontal axis. logarithmic:
    use a logarithmic vertical axis, on which zeros are omitted. bands: lower and upper edge of a band around
    lines, by their names.
    """

    title: str
    quantity: str
    measure: str
    lines: Mapping[str, tuple[NDArray[np.floating], NDArray[np.floating]]]
    marks: Sequence[float] = ()
    logarithmic: bool = False
    bands: Mapping[str, tuple[NDArray[np.floating], NDArray[np.floating]]] = field(default_factory=dict)


def plot_charts(charts: Sequence[Chart], *, width_px: int, height_px: int) -> Rgb:
    """Draw charts in two columns, with one legend below; return uint8 (H, W, 3).

    charts: their lines must have the same names. width_px: width of the picture. height_px: height of one
    chart.
    """
    rows = math.ceil(len(charts) / _COLUMNS)
    with drawing():
        size = (width_px / _CHART_DPI, rows * height_px / _CHART_DPI)
        figure = Figure(figsize=size, dpi=_CHART_DPI, layout="constrained")
        for index, chart in enumerate(charts, 1):
            _draw_chart(figure.add_subplot(rows, _COLUMNS, index), chart)
        handles = figure.axes[0].get_lines()[: len(charts[0].lines)]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=_LEGEND_COLUMNS, frameon=False, fontsize=9
        )
        return _rasterise(figure)


def _draw_chart(axes: Axes, chart: Chart) -> None:
    for index, (name, (x, y)) in enumerate(chart.lines.items()):
        axes.plot(x, y, color=_line_colour(index), label=_escape(name), linewidth=1.6)
        if name in chart.bands:
            axes.fill_between(x, *chart.bands[name], color=_line_colour(index), alpha=0.2, linewidth=0)
    for mark in chart.marks:
        axes.axvline(mark, color=_MARK, linestyle=":", linewidth=1)
    _label_axes(axes, chart.title, chart.quantity, chart.measure)
    positive = np.concatenate([y[y > 0] for _, y in chart.lines.values()]) if chart.logarithmic else ()
    if len(positive):
        axes.set_yscale("log", nonpositive="mask")
        _limit_powers(axes, float(np.min(positive)), float(np.max(positive)))
    else:
        _widen_constant_range(axes)
    _style_axes(axes)


def _limit_powers(axes: Axes, low: float, high: float) -> None:
    """Limit a logarithmic axis of powers to values above rounding noise."""
    # A power is a squared amplitude, so relative rounding errors appear squared as well.
    floor = rounding(1) ** 2 * high
    if is_level((low, high)):
        axes.set_ylim(high / 2, high * 2)
    elif low < floor:
        axes.set_ylim(floor, high * 2)


def _escape(text: str) -> str:
    """Return text that matplotlib shows literally.

    Dollar signs would start a formula, and a leading underscore would hide the legend entry.
    """
    return font_text(text).replace("$", r"\$").lstrip("_")


@dataclass(frozen=True, eq=False)
class Band:
    """A line with a band around it, such as median and quartiles. x, middle, lower, upper: (n,)."""

    name: str
    x: NDArray[np.floating]
    middle: NDArray[np.floating]
    lower: NDArray[np.floating]
    upper: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class BandChart:
    """Chart of bands.

    quantity, measure: labels of the horizontal and vertical axis. ticks: names of the positions x = 0, 1, ...
    on the horizontal axis; None for numbers, with a tick at each x of the first band.
    """

    title: str
    quantity: str
    measure: str
    bands: Sequence[Band]
    ticks: Sequence[str] | None = None


def plot_bands(
    bands: Sequence[Band],
    *,
    title: str,
    quantity: str,
    ticks: Sequence[str],
    measure: str,
    width_px: int,
    height_px: int,
) -> Rgb:
    """Draw bands over a categorical axis, see `BandChart`; return uint8 (H, W, 3).

    width_px, height_px: size of the picture.
    """
    chart = BandChart(title, quantity, measure, bands, ticks)
    return plot_band_charts([chart], width_px=width_px, height_px=height_px)


def plot_band_charts(charts: Sequence[BandChart], *, width_px: int, height_px: int) -> Rgb:
    """Draw charts of bands side by side; return uint8 (H, W, 3).

    width_px, height_px: size of the picture.
    """
    with drawing():
        size = (width_px / _CHART_DPI, height_px / _CHART_DPI)
        figure = Figure(figsize=size, dpi=_CHART_DPI, layout="constrained")
        for index, chart in enumerate(charts, 1):
            _draw_bands(figure.add_subplot(1, len(charts), index), chart)
        return _rasterise(figure)


def _draw_bands(axes: Axes, chart: BandChart) -> None:
    for index, band in enumerate(chart.bands):
        colour = _line_colour(index)
        axes.fill_between(band.x, band.lower, band.upper, color=colour, alpha=0.2, linewidth=0)
        style = "-" if index < len(COLOURS) else "--"
        axes.plot(
            band.x, band.middle, style, color=colour, label=_escape(band.name), marker="o", linewidth=1.6
        )
    _widen_constant_range(axes)
    if chart.ticks is None:
        axes.set_xticks(chart.bands[0].x)
    else:
        _name_ticks(axes, [_escape(tick) for tick in chart.ticks])
    _label_axes(axes, _escape(chart.title), chart.quantity, chart.measure)
    _add_legend(axes, len(chart.bands))
    _style_axes(axes)


def _name_ticks(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    if len(names) * max(map(len, names)) > _TICK_CHARS:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")


def _add_legend(axes: Axes, lines: int) -> None:
    """Add a legend: inside the chart for a single line, else to its right, in the order of the line ends."""
    if lines == 1:
        axes.legend(frameon=False, fontsize=9, loc="best")
        return
    handles = sorted(axes.get_lines(), key=lambda line: -float(np.asarray(line.get_ydata())[-1]))
    axes.legend(
        handles=handles,
        frameon=False,
        fontsize=9,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        ncols=math.ceil(lines / _LEGEND_ROWS),
    )
