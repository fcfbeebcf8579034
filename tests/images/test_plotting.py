"""Tests that figures do not depend on matplotlib settings in the environment."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRAW = """
import hashlib, os
from zfscope.images.curves import plot_history
png = plot_history([{"epoch": 1, "lr": 0.1}, {"epoch": 2, "lr": 0.2}])
print(hashlib.sha256(png).hexdigest(), os.environ.get("MPLBACKEND"), os.environ.get("MATPLOTLIBRC"))
"""
BROKEN = b"axes.facecolor: red\nbackend: none such\ntext.usetex: True\nnonsense\n\xff\xfe"


def draw_in_process(folder: Path, **environment: str) -> tuple[str, ...]:
    """Draw a figure in another process; return its hash and the environment variables after drawing."""
    done = subprocess.run(
        [sys.executable, "-c", DRAW], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return tuple(done.stdout.split())


@pytest.fixture(scope="module")
def default_hash(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the hash of the figure drawn without any settings."""
    return draw_in_process(tmp_path_factory.mktemp("plain"), **os.environ)[0]


@pytest.mark.parametrize(
    "backend", ["module://x", "module://matplotlib_inline.backend_inline", "inline", "qtagg", "none such"]
)
def test_the_backend_of_the_environment_is_ignored(default_hash: str, tmp_path: Path, backend: str) -> None:
    assert draw_in_process(tmp_path, **{**os.environ, "MPLBACKEND": backend}) == (
        default_hash,
        *backend.split(),
        "None",
    )


def test_damaged_settings_files_are_ignored(default_hash: str, tmp_path: Path) -> None:
    for name in ("matplotlibrc", "other"):
        (tmp_path / name).write_bytes(BROKEN)
    settings = {"MATPLOTLIBRC": str(tmp_path / "other"), "MPLCONFIGDIR": str(tmp_path)}
    assert draw_in_process(tmp_path, **{**os.environ, **settings}) == (
        default_hash,
        "None",
        settings["MATPLOTLIBRC"],
    )


@pytest.mark.parametrize("environment", [{}, {"HOME": "/nonexistent"}, {"MPLCONFIGDIR": "/proc/nowhere"}])
def test_no_warning_is_logged_without_a_writable_cache(
    default_hash: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert draw_in_process(tmp_path, **environment) == (default_hash, "None", "None")


def test_settings_of_an_earlier_import_are_preserved_but_not_used(default_hash: str, tmp_path: Path) -> None:
    code = "import matplotlib; matplotlib.rcParams['axes.facecolor'] = 'red'\n"
    code += DRAW + "print(matplotlib.rcParams['axes.facecolor'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [default_hash, "None", "None", "red"]
    assert len(default_hash) == hashlib.sha256().digest_size * 2
