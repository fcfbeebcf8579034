"""Programs and packages that some tests need and some machines lack."""

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest

# Names of Chromium on different systems.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def skip_missing(reason: str) -> NoReturn:
    """Skip the test because something is not installed; fail it if CI=true.

    reason: what is missing and how to install it.
    """
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI=true, so this test may not be skipped", pytrace=False)
    pytest.skip(reason)


def require_program(*names: str, package: str) -> str:
    """Return the path of an installed program; otherwise skip the test, or fail it if CI=true.

    names: names of the program on different systems. package: Debian package that contains it.
    """
    path = next(filter(None, map(shutil.which, names)), None)
    return path or skip_missing(f"{names[0]} is not installed: apt-get install {package}")


def require_module(name: str, install: str) -> None:
    """Skip the test unless a top-level module is installed; fail it if CI=true.

    install: command that installs it.
    """
    if importlib.util.find_spec(name) is None:
        skip_missing(f"module {name} is not installed: {install}")
