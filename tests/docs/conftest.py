"""The documentation as a site, built once for all tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.pages import ROOT
from tests.support.site import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site, built with warnings as errors by the first worker that needs it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with FileLock(folder / "site.lock"):
        if not (folder / "site.built").exists():
            _build(folder / "site")
            (folder / "site.built").touch()
    return Site(folder / "site")


def _build(out: Path) -> None:
    # Coverage of a build is of no use and doubles its time.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    strict = ["--quiet", "--fail-on-warning", "--keep-going"]
    folders = ["--conf-dir", ROOT / "docs", "--doctree-dir", out.parent / "doctrees", ROOT, out]
    command = [sys.executable, "-m", "sphinx", *strict, *folders]
    built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
