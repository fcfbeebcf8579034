"""The user's settings of matplotlib, and how to import it without them."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

# Environment variables under which matplotlib is imported.
SETTINGS = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}


def is_in_directory() -> bool:
    """Return whether the working directory has settings, a file named matplotlibrc."""
    return os.path.exists("matplotlibrc")  # noqa: PTH110  # Path.exists raises if the directory is not accessible


@contextlib.contextmanager
def ignore_user_settings() -> Iterator[None]:
    """Hide the user's settings from matplotlib, which reads them while it is imported.

    MPLBACKEND, inherited from a notebook, may name a backend that is not installed; a matplotlibrc in the
    working directory or the user's configuration may be damaged or change the look of figures. All figures
    are drawn with Agg. Without a writable cache, matplotlib uses a temporary one and logs a warning, which is
    suppressed.
    """
    changed = {name: value for name, value in SETTINGS.items() if os.environ.get(name) != value}
    earlier = {name: os.environ.get(name) for name in changed}
    log = logging.getLogger("matplotlib")
    level = log.level
    # Changing the directory is the only way to skip a matplotlibrc in the working directory.
    other_directory = contextlib.chdir(Path(__file__).parent) if is_in_directory() else None
    os.environ.update(changed)
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
