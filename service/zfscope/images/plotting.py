"""Import of matplotlib with its defaults, whatever the environment; the only module that imports it."""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def _ignore_user_settings() -> Iterator[None]:
    """Hide the user's settings from matplotlib, which reads them while it is imported.

    MPLBACKEND, inherited from a notebook, may name a backend that is not installed; a matplotlibrc in the
    working directory or the user's configuration may be damaged or change the look of figures. All figures
    are drawn with Agg. Without a writable cache, matplotlib uses a temporary one and logs a warning, which is
    suppressed.
    """
    own = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    earlier = {name: os.environ.get(name) for name in own}
    log = logging.getLogger("matplotlib")
    level = log.level
    # Changing the directory is the only way to skip a matplotlibrc in the working directory.
    other_directory = contextlib.chdir(Path(__file__).parent) if os.path.exists("matplotlibrc") else None  # noqa: PTH110  # Path.exists raises if the directory is not accessible
    os.environ.update(own)
    log.setLevel(logging.ERROR)
    try:
        with other_directory or contextlib.nullcontext():
            yield
    finally:
        log.setLevel(level)
        for name, value in earlier.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


with _ignore_user_settings():
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
