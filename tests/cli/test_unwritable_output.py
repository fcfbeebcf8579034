"""Commands whose stdout or stderr cannot be written: a lost warning is no error, lost output is one."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.test_train import write_data

Shell = Callable[..., "subprocess.CompletedProcess[str]"]
LOST = "zfscope: cannot write the output: No space left on device\n"
UNWRITABLE = pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2>&- <&-"])


@pytest.fixture
def shell(command: Path, environment: dict[str, str]) -> Shell:
    """Runs a command in a shell, with redirections."""

    def run(
        *words: object, redirection: str, env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", f'set -o pipefail; "$0" "$@" {redirection}', command, *map(str, words)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def animation(tmp_path: Path) -> Path:
    """A GIF of two frames: classified with the warning that the first one is used."""
    frames = [Image.fromarray(np.full((48, 60), grey, np.uint8)) for grey in (60, 200)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    return tmp_path / "two.gif"


def test_a_warning_that_cannot_be_printed_is_lost_and_the_result_printed(
    shell: Shell, animation: Path
) -> None:
    usual = shell("classify", animation, redirection="")
    assert usual.stderr.startswith("zfscope: warning: ")
    for redirection in ("2>/dev/full", "2>&-", "2>&- <&-", "2> >(true)"):
        ended = shell("classify", animation, redirection=redirection)
        assert (ended.returncode, ended.stdout) == (0, usual.stdout)


@UNWRITABLE
def test_an_error_that_cannot_be_printed_keeps_its_exit_code(shell: Shell, redirection: str) -> None:
    ended = shell("classify", "nowhere.jpg", redirection=redirection)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", "")
    ended = shell("classify", "--nonsense", redirection=redirection)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", "")


@UNWRITABLE
def test_a_training_whose_lines_cannot_be_printed_ends_well(
    shell: Shell, tmp_path: Path, redirection: str
) -> None:
    options = ["--recipe", tmp_path / "few.toml", "--epochs", 1, "--hidden", 4, "--out", tmp_path / "run"]
    photos = write_data(tmp_path)
    ended = shell("train", photos, *options, "--store", tmp_path / "trained", redirection=redirection)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list((tmp_path / "trained").glob("*/1/*.safetensors"))


HELP = [
    ["--help"],
    ["classify", "--help"],
    ["models", "--help"],
    ["models", "list", "--help"],
    ["analyze", "--help"],
]


@pytest.mark.parametrize("words", [*HELP, ["models", "list"], ["models", "list", "--json"]], ids=" ".join)
def test_help_that_cannot_be_written_ends_like_other_output(shell: Shell, words: list[str]) -> None:
    full = shell(*words, redirection=">/dev/full")
    assert (full.returncode, full.stdout, full.stderr) == (2, "", LOST)
    left = shell(*words, redirection="| true")
    assert (left.returncode, left.stderr) == (141, "")


def test_a_pipe_that_does_not_block_gets_all_output(command: Path, environment: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with subprocess.Popen(
        [command, "models", "list", "--json"], env={**os.environ, **environment}, stdout=writing
    ) as process:
        os.close(writing)
        with os.fdopen(reading) as stream:
            assert stream.read().endswith("}\n")
        assert process.wait(timeout=120) == 0
