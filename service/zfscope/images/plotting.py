"""Import of matplotlib with its defaults, whatever the environment; the only module that imports it."""

import contextlib
import threading
from collections.abc import Iterator

from zfscope.images.plot_settings import ignore_user_settings

with ignore_user_settings():
    from matplotlib import rc_context, rcParams, rcParamsDefault
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec
    from matplotlib.ticker import MaxNLocator

__all__ = [
    "Artist",
    "Axes",
    "Figure",
    "FigureCanvasAgg",
    "MaxNLocator",
    "RendererBase",
    "SubplotSpec",
    "drawing",
]

# Requests draw in several threads, and matplotlib is not thread-safe.
_DRAWING = threading.Lock()


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw with matplotlib's defaults, one figure at a time.

    The settings of a process that imported matplotlib before, such as a notebook, are restored afterwards.
    """
    with _DRAWING:
        changed = {
            name: value
            for name, value in rcParamsDefault.items()
            if not name.startswith("backend") and rcParams[name] != value
        }
        with rc_context(changed):
            yield
