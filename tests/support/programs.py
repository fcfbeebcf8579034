"""Programs and packages that some tests need and not every machine has."""

import importlib.util
import os
import shutil
from typing import NoReturn

import pytest


def skip_missing(what: str) -> NoReturn:
    """Skip the test because something is not installed; fail it where CI=true, where everything has to be.

    what: what is missing and how to install it.
    """
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; CI=true, so this test may not be skipped", pytrace=False)
    pytest.skip(what)


def require_program(*names: str, package: str) -> str:
    """Return the path of the first of these programs that is installed; else skip, or fail where CI=true.

    names: names of one program, as different systems have it. package: the Debian package with it.
    """
    found = next(filter(None, map(shutil.which, names)), None)
    return found or skip_missing(f"{names[0]} is not installed: apt-get install {package}")


def require_module(name: str, install: str) -> None:
    """Skip the test unless a top-level module is installed; fail it where CI=true.

    install: the command that installs it.
    """
    if importlib.util.find_spec(name) is None:
        skip_missing(f"module {name} is not installed: {install}")
