"""Import, once the service is SERVING, of packages that only some analyses need.

Together they take most of a second, for which neither the start of the service nor the first analysis that
needs them has to wait.
"""

import os
import threading
from collections.abc import Sequence
from importlib import import_module

import structlog

from zfscope.images.plot_settings import SETTINGS, is_in_directory

_log = structlog.get_logger("zfscope.server")

# Modules that import matplotlib, and those of SciPy and scikit-image that analyses use.
MODULES = ("zfscope.images.plotting", "scipy.stats", "skimage.metrics", "skimage.measure")


def prepare_preload() -> None:
    """Set what importing matplotlib would change in the environment, before there are other threads.

    A matplotlibrc in the working directory can only be skipped by changing the directory for a moment. If
    there is one, import matplotlib now: other threads would resolve relative paths in the wrong directory.
    """
    os.environ.update(SETTINGS)
    if is_in_directory():
        import_module(MODULES[0])


def preload(stopped: threading.Event, modules: Sequence[str] = MODULES) -> None:
    """Import modules one by one until `stopped` is set. Blocks.

    A module that cannot be imported is logged; the analyses that need it report the error.
    """
    for name in modules:
        if stopped.is_set():
            return
        try:
            import_module(name)
        except ImportError as error:
            _log.warning("cannot import", module=name, reason=str(error))
