"""Commands whose stdout or stderr cannot be written: lost output is an error, a lost warning is not."""

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
    """Runs a command in bash, with redirections."""

    def run(
        *arguments: object, redirection: str, env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", f'set -o pipefail; "$0" "$@" {redirection}', command, *map(str, arguments)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def animation(tmp_path: Path) -> Path:
    """A GIF of two frames; classifying it causes a warning that the first one is used."""
    frames = [Image.fromarray(np.full((48, 60), grey, np.uint8)) for grey in (60, 200)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    return tmp_path / "two.gif"


def test_a_result_is_printed_even_if_its_warning_cannot_be(shell: Shell, animation: Path) -> None:
    expected = shell("classify", animation, redirection="")
    assert expected.stderr.startswith("zfscope: warning: ")
    for redirection in ("2>/dev/full", "2>&-", "2>&- <&-", "2> >(true)"):
        result = shell("classify", animation, redirection=redirection)
        assert (result.returncode, result.stdout) == (0, expected.stdout)


@UNWRITABLE
def test_an_error_that_cannot_be_printed_keeps_its_exit_code(shell: Shell, redirection: str) -> None:
    result = shell("classify", "nowhere.jpg", redirection=redirection)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "")
    result = shell("classify", "--nonsense", redirection=redirection)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "")


@UNWRITABLE
def test_a_training_succeeds_even_if_its_progress_cannot_be_printed(
    shell: Shell, tmp_path: Path, redirection: str
) -> None:
    options = ["--recipe", tmp_path / "few.toml", "--epochs", 1, "--hidden", 4, "--out", tmp_path / "run"]
    photos = write_data(tmp_path)
    result = shell("train", photos, *options, "--store", tmp_path / "trained", redirection=redirection)
    assert (result.returncode, result.stderr) == (0, "")
    assert list((tmp_path / "trained").glob("*/1/*.safetensors"))


HELP = [
    ["--help"],
    ["classify", "--help"],
    ["models", "--help"],
    ["models", "list", "--help"],
    ["analyze", "--help"],
]


@pytest.mark.parametrize("arguments", [*HELP, ["models", "list"], ["models", "list", "--json"]], ids=" ".join)
def test_help_that_cannot_be_written_is_an_error_like_other_output(
    shell: Shell, arguments: list[str]
) -> None:
    full = shell(*arguments, redirection=">/dev/full")
    assert (full.returncode, full.stdout, full.stderr) == (2, "", LOST)
    closed = shell(*arguments, redirection="| true")
    assert (closed.returncode, closed.stderr) == (141, "")


def test_a_non_blocking_pipe_receives_all_output(command: Path, environment: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with subprocess.Popen(
        [command, "models", "list", "--json"], env={**os.environ, **environment}, stdout=writing
    ) as process:
        os.close(writing)
        with os.fdopen(reading) as stream:
            assert stream.read().endswith("}\n")
        assert process.wait(timeout=120) == 0
