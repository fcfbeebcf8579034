"""Training curves as a picture; the only module of the package that imports matplotlib."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zfscope.errors import InputError

_COLUMNS, _DPI = 2, 144
_BLUE, _RED, _GRID = "#3366aa", "#d6455d", "#e4e4e4"


@dataclass(frozen=True)
class _Plot:
    """One of the small multiples: its title, and its lines as key -> label."""

    title: str
    lines: Mapping[str, str]


_PLOTS = (
    _Plot("Training loss", {"train_loss": "training"}),
    _Plot("Validation accuracy (%)", {"val_top1": "top-1", "val_top5": "top-5"}),
    _Plot("Roughness of conv1 filters (noise = 1)", {"roughness": "median"}),
    _Plot("Learning rate", {"lr": "at the end"}),
)


def plot_history(history: Sequence[Mapping[str, float]]) -> bytes:
    """Return a PNG of training curves over epochs: loss, accuracy, filter roughness, learning rate.

    Each entry is one epoch with the keys `epoch`, `train_loss`, `val_top1` and `val_top5` (percent),
    `roughness`, `lr`; whatever is absent everywhere has no plot, other keys are not shown.
    Raises InputError for a history without anything to plot.
    """
    plots = [plot for plot in _PLOTS if any(key in entry for key in plot.lines for entry in history)]
    if not plots:
        known = ", ".join(key for plot in _PLOTS for key in plot.lines)
        raise InputError(f"the history of {len(history)} epochs has nothing to plot; known are {known}")
    rows = math.ceil(len(plots) / _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 2.9 * rows), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for place, plot in enumerate(plots, 1):
        _draw(figure.add_subplot(rows, _COLUMNS, place), plot, history)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _draw(axes: Axes, plot: _Plot, history: Sequence[Mapping[str, float]]) -> None:
    """Draw a line per key; the legend gives the last value, which is what a reader looks for first."""
    for (key, label), colour in zip(plot.lines.items(), (_BLUE, _RED), strict=False):
        points = [(entry["epoch"], entry[key]) for entry in history if key in entry]
        if points:
            epochs, values = zip(*points, strict=True)
            name = f"{label}: {values[-1]:.3g}"
            axes.plot(epochs, values, color=colour, label=name, marker="o", markersize=3, linewidth=1.6)
    axes.set_title(plot.title, fontsize=11, loc="left")
    axes.set_xlim(*_first_and_last_epoch(history))
    _tidy(axes)


def _first_and_last_epoch(history: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    epochs = [entry["epoch"] for entry in history]
    return min(epochs) - 0.5, max(epochs) + 0.5


def _tidy(axes: Axes) -> None:
    axes.set_xlabel("epoch", fontsize=9)
    axes.tick_params(labelsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(visible=True, color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.1)
    axes.legend(frameon=False, fontsize=9)
