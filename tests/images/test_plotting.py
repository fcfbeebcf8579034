"""Figures are drawn, and look the same, whatever the environment says of matplotlib."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRAW = """
import hashlib, os
from zfscope.images.curves import plot_history
drawn = plot_history([{"epoch": 1, "lr": 0.1}, {"epoch": 2, "lr": 0.2}])
print(hashlib.sha256(drawn).hexdigest(), os.environ.get("MPLBACKEND"), os.environ.get("MATPLOTLIBRC"))
"""
BROKEN = b"axes.facecolor: red\nbackend: none such\ntext.usetex: True\nnonsense\n\xff\xfe"


def draw(folder: Path, **environment: str) -> tuple[str, ...]:
    """Draw a figure in another process; return its hash and the variables as they are afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", DRAW], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return tuple(done.stdout.split())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of the figure in a plain environment."""
    return draw(tmp_path_factory.mktemp("plain"), **os.environ)[0]


@pytest.mark.parametrize(
    "backend", ["module://x", "module://matplotlib_inline.backend_inline", "inline", "qtagg", "none such"]
)
def test_the_backend_is_our_own(plain: str, tmp_path: Path, backend: str) -> None:
    assert draw(tmp_path, **{**os.environ, "MPLBACKEND": backend}) == (plain, *backend.split(), "None")


def test_a_damaged_file_of_settings_changes_nothing(plain: str, tmp_path: Path) -> None:
    for name in ("matplotlibrc", "other"):
        (tmp_path / name).write_bytes(BROKEN)
    settings = {"MATPLOTLIBRC": str(tmp_path / "other"), "MPLCONFIGDIR": str(tmp_path)}
    assert draw(tmp_path, **{**os.environ, **settings}) == (plain, "None", settings["MATPLOTLIBRC"])


@pytest.mark.parametrize("environment", [{}, {"HOME": "/nonexistent"}, {"MPLCONFIGDIR": "/proc/nowhere"}])
def test_where_no_cache_can_be_written_a_figure_is_drawn_without_a_word(
    plain: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert draw(tmp_path, **environment) == (plain, "None", "None")


def test_settings_of_who_imported_matplotlib_before_are_left_and_not_used(plain: str, tmp_path: Path) -> None:
    code = "import matplotlib; matplotlib.rcParams['axes.facecolor'] = 'red'\n"
    code += DRAW + "print(matplotlib.rcParams['axes.facecolor'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [plain, "None", "None", "red"]
    assert len(plain) == hashlib.sha256().digest_size * 2
