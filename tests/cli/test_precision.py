"""`--precision` of the commands that compute: stated in their output, and refused with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_evolve import folder, photos

Run = Callable[..., Any]
__all__ = ["folder", "photos"]  # fixtures

BFLOAT16 = ("--precision", "bfloat16")
# Commands for a single photo, without options of their own.
COMMANDS = (
    ("classify", "--runtime", "torch"),
    ("project", "--layer", "conv5", "--top", "2"),
    ("analyze", "occlude", "--window", "16", "--stride", "8"),
    ("analyze", "invariance", "--transformations", "scale", "--scales", "0.5"),
)


def with_out(command: tuple[str, ...], tmp_path: Path) -> tuple[object, ...]:
    return (*command, *(() if command[0] == "classify" else ("--out", tmp_path / "out")))


@pytest.mark.usefixtures("fast_bfloat16")
@pytest.mark.parametrize("command", COMMANDS)
def test_output_states_the_precision(run: Run, photo: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    options = with_out(command, tmp_path)
    text = run(*options, photo, "--model", "tiny", *BFLOAT16)
    assert (text.code, text.stderr) == (0, "")
    assert "tiny version 2 in bfloat16" in " ".join(text.stdout.split())
    answer = json.loads(run(*options, photo, "--model", "tiny", "--json", *BFLOAT16).stdout)
    assert answer["precision"] == "bfloat16"
    plain = run(*options, photo, "--model", "tiny", "--json")
    assert json.loads(plain.stdout)["precision"] == "float32"
    assert "bfloat16" not in run(*options, photo, "--model", "tiny").stdout


@pytest.mark.usefixtures("slow_bfloat16")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_processor_without_a_fast_path_is_refused(
    run: Run, photo: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    result = run(*with_out(command, tmp_path), photo, "--model", "tiny", *BFLOAT16)
    assert result.code == 2
    assert "precision bfloat16 needs AMX or AVX512-BF16; this processor has " in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_tf32_is_refused_on_the_cpu(run: Run, photo: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(*with_out(command, tmp_path), photo, "--model", "tiny", "--precision", "tf32")
    assert (result.code, result.stderr.count("\n")) == (2, 1)
    assert "precision tf32 is a mode of NVIDIA GPUs, not of the CPU; use device cuda" in result.stderr


def test_an_index_in_tf32_is_refused_on_the_cpu(run: Run, photos: Path, tmp_path: Path) -> None:
    result = run("index", photos, "--out", tmp_path / "out", "--model", "tiny", "--precision", "tf32")
    assert (result.code, result.stderr.count("\n")) == (2, 1)
    assert "precision tf32 is a mode of NVIDIA GPUs, not of the CPU; use device cuda" in result.stderr


def test_classify_refuses_a_runtime_without_it(run: Run, photo: Path) -> None:
    result = run("classify", photo, "--model", "tiny", *BFLOAT16)
    assert result.code == 2
    assert "runtime 'onnx' does not compute in bfloat16: ONNX Runtime has no convolution" in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_service_computes_in_its_own_precision(
    run: Run, photo: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Even --precision float32 is refused: it would be ignored by a service in bfloat16."""
    options = ("--server", "127.0.0.1:9", "--precision", "float32")
    result = run(*with_out(command, tmp_path), photo, *options)
    assert result.code == 2
    assert "--precision cannot be combined with --server" in result.stderr


def test_an_unknown_precision_is_refused_with_the_known_ones(run: Run, photo: Path) -> None:
    result = run("project", photo, "--precision", "float8")
    assert result.code == 2
    assert "'float8' is not one of 'float32', 'tf32', 'bfloat16'" in result.stderr


@pytest.mark.usefixtures("fast_bfloat16")
def test_evolve_builds_its_indexes_in_the_precision(
    run: Run,
    photos: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    options = ("--store", folder.parent.parent, "--layer", "conv5", "--out", tmp_path / "out")
    answer = json.loads(run("evolve", photos, *options, "--json", *BFLOAT16).stdout)
    assert answer["precision"] == "bfloat16"
    assert {row["state"] for row in answer["tables"]["evolution"]} <= {"ok", "dead"}
    for index in (folder / "indexes").iterdir():
        origin = json.loads((index / "index.json").read_text())["origin"]
        assert (origin["runtime"], origin["precision"]) == ("torch", "bfloat16")


@pytest.mark.usefixtures("fast_bfloat16")
def test_a_gallery_states_its_precision(
    run: Run,
    photos: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    options = ("--store", folder.parent.parent, "--layers", "conv1", "--count", "2", "--no-evolution")
    built = {}
    for precision in ("float32", "bfloat16"):
        place = ("--index", precision, "--out", tmp_path / precision, "--precision", precision)
        result = run("gallery", photos, *options, *place, "--json")
        assert (result.code, result.stderr) == (0, "")
        built[precision] = json.loads(result.stdout)["precision"]
    assert built == {"float32": "float32", "bfloat16": "bfloat16"}
    pages = [(tmp_path / name / "index.html").read_text() for name in built]
    assert ["<dt>Precision</dt><dd>bfloat16" in page for page in pages] == [False, True]


@pytest.mark.usefixtures("fake_gpu")
def test_an_index_and_a_gallery_in_tf32_state_it(
    run: Run, photos: Path, folder: Path, tmp_path: Path
) -> None:
    options = ("--store", folder.parent.parent, "--layers", "conv1", "--count", "2", "--no-evolution")
    fast = ("--device", "cuda", "--precision", "tf32")
    result = run("gallery", photos, *options, *fast, "--out", tmp_path / "out", "--json")
    assert (result.code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["precision"] == "tf32"
    assert "<dt>Precision</dt><dd>tf32" in (tmp_path / "out" / "index.html").read_text()
    (index,) = (folder / "indexes").iterdir()
    origin = json.loads((index / "index.json").read_text())["origin"]
    assert (origin["runtime"], origin["precision"]) == ("onnx on cuda", "tf32")


def test_a_model_is_described_with_the_precision_of_this_process(run: Run) -> None:
    assert json.loads(run("models", "tiny", "--json").stdout)["precision"] == "float32"
