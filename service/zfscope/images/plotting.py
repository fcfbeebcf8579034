"""matplotlib, with its own defaults whatever the environment says; the only module that imports it."""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def _ignore_user_settings() -> Iterator[None]:
    """Keep settings of the user's away from the import of matplotlib, which reads them at that moment.

    MPLBACKEND, as a notebook passes it on, may name a backend that is not installed here; a matplotlibrc in
    the working directory or in the user's configuration may be damaged, or change how figures look. All
    that is drawn here is drawn by Agg, and where no cache can be written a temporary one does.
    """
    own = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    earlier = {name: os.environ.get(name) for name in own}
    log = logging.getLogger("matplotlib")
    level = log.level
    # Nothing else makes it pass over the file in the working directory.
    elsewhere = contextlib.chdir(Path(__file__).parent) if os.path.exists("matplotlibrc") else None  # noqa: PTH110  # Path.exists raises where the folder is out of reach
    os.environ.update(own)
    log.setLevel(logging.ERROR)
    try:
        with elsewhere or contextlib.nullcontext():
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

# Requests draw in threads of their own, and matplotlib is not made for that.
_DRAWING = threading.Lock()


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw with matplotlib's defaults, one figure at a time.

    Who imported matplotlib before, such as a notebook, has settings of their own, which are left as they are.
    """
    with _DRAWING:
        changed = {
            name: value
            for name, value in rcParamsDefault.items()
            if not name.startswith("backend") and rcParams[name] != value
        }
        with rc_context(changed):
            yield
