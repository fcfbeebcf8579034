"""`zfscope evolve`, in process and against a service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.cli.conftest import SPEC
from zfscope.networks import build

Run = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with eight photos."""
    (tmp_path / "photos" / "ant").mkdir(parents=True)
    for number in range(8):
        drawn = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        photo = Image.fromarray(drawn).resize((60, 48), Image.Resampling.BICUBIC)
        photo.save(tmp_path / "photos" / "ant" / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def folder(tmp_path: Path, write: Callable[..., Path]) -> Path:
    """Folder of a model with checkpoints of epochs 1 and 2, the only model of the store `models`."""
    files = {1: _checkpoint(tmp_path / "1", 41, dead=3), 2: _checkpoint(tmp_path / "2", 42)}
    return write(tmp_path / "models", 1, checkpoints=files)


def _checkpoint(path: Path, seed: int, *, dead: int | None = None) -> Path:
    network = build(SPEC, generator=torch.Generator().manual_seed(seed)).requires_grad_(False)
    if dead is not None:
        network.filters["conv5"].bias[dead] = -100
    save_file(
        {
            f"{name}.{part}": tensor.contiguous()
            for name, filters in network.filters.items()
            if name.startswith("conv")
            for part, tensor in filters.state_dict().items()
        },
        path,
    )
    return path


@pytest.fixture
def command(tmp_path: Path, folder: Path) -> list[object]:
    """The command with its store, layer and output folder."""
    return ["evolve", "--store", folder.parent.parent, "--layer", "conv5", "--out", tmp_path / "out"]


def test_one_command_builds_the_indexes_and_the_figure(
    run: Run, command: list[object], photos: Path, folder: Path, tmp_path: Path
) -> None:
    result = run(*command, photos, "--model", "tiny", "--maps", "3,1", "--tensors", "--json")
    answer = json.loads(result.stdout)
    assert result.stderr == ""
    assert sorted(path.name for path in (folder / "indexes").iterdir()) == [
        "photos",
        "photos-epoch-001",
        "photos-epoch-002",
    ]
    assert {Path(path).name for path in answer["files"]} == {
        "conv5-evolution.png",
        "conv5-projections.npy",
        "conv5-patches.npy",
    }
    rows = answer["tables"]["evolution"]
    assert [(row["map"], row["epoch"]) for row in rows] == [
        (feature_map, epoch) for feature_map in (3, 1) for epoch in (1, 2, None)
    ]
    assert [row["state"] for row in rows] == ["dead", *["ok"] * 5]
    assert len(answer["tables"]["settling"]) == 3
    assert np.load(tmp_path / "out" / "conv5-patches.npy").shape[:2] == (2, 3)


def test_existing_indexes_are_reused(run: Run, command: list[object], photos: Path, folder: Path) -> None:
    assert run(*command, photos, "--epochs", 2, "--index", "mine").code == 0
    indexes = folder / "indexes"
    assert sorted(path.name for path in indexes.iterdir()) == ["mine", "mine-epoch-002"]
    before = {path: path.stat().st_mtime_ns for path in indexes.rglob("*.*")}
    assert run(*command, photos, "--index", "mine").code == 0
    assert sorted(path.name for path in indexes.iterdir()) == ["mine", "mine-epoch-001", "mine-epoch-002"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    answer = json.loads(run(*command, "--count", 2, "--first", 1, "--no-settling", "--json").stdout)
    assert list(answer["tables"]) == ["evolution"]
    assert len(answer["tables"]["evolution"]) == 2 * 3


def test_text_output_has_a_table_missing_photos_and_the_picture(
    run: Run, command: list[object], photos: Path, tmp_path: Path
) -> None:
    text = run(*command, photos, "--maps", "3,1").stdout
    assert all(word in text for word in ("epoch 1", "epoch 2", "end", "dead", "settled", "1.00"))
    assert f"Figure: {tmp_path / 'out' / 'conv5-evolution.png'}" in text
    for path in photos.rglob("*.png"):
        path.unlink()
    lines = run(*command, "--maps", "3,1").stdout.splitlines()
    assert sum(": gone: ant/" in line for line in lines) == 5
    assert any(line.startswith("map 1, end: gone: ant/") for line in lines)


def test_ignored_and_skipped_files_are_reported(run: Run, command: list[object], photos: Path) -> None:
    (photos / "notes.txt").write_text("not a photo")
    (photos / "ant" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    for existing in (False, True):  # indexes that are built, and existing ones
        text = " ".join(run(*command, photos, "--maps", "1").stdout.split())
        assert text.endswith(
            "8 photos; 1 could not be used, see skipped.parquet; skipped: 1 file that is not an image (.txt)."
        ), existing
    answer = json.loads(run(*command, photos, "--maps", "1", "--json").stdout)
    assert (answer["images"], answer["skipped"], answer["passed_over"]) == (8, 1, {"other": 1})
    without = json.loads(run(*command, "--maps", "1", "--json").stdout)
    assert without.keys().isdisjoint({"images", "skipped", "passed_over"})


def test_a_layer_that_is_not_a_convolution_can_be_indexed(
    run: Run, command: list[object], photos: Path
) -> None:
    answer = json.loads(run(*command, photos, "--layer", "relu5", "--count", 1, "--json").stdout)
    assert {row["layer"] for row in answer["tables"]["evolution"]} == {"relu5"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--maps", "1,x"], "--maps '1,x' is not a list of numbers; pass maps such as 1,2,5"),
        (["--epochs", "-1"], "--epochs '-1' is not a list of numbers; pass epochs such as 1,2,5"),
        ([], "has no indexes; build them with: zfscope index DATA --model tiny and zfscope index DATA"),
        (["PHOTOS", "--epochs", "9"], "model 'tiny' version 1 has no checkpoint of epoch 9; available: 1, 2"),
        (["PHOTOS", "--layer", "fc6"], "layer 'fc6' not found; available: conv1, "),
        (
            ["PHOTOS", "--server", "localhost:1"],
            "DATA cannot be combined with --server; run `zfscope index` on",
        ),
        (["nowhere"], "data set 'nowhere' cannot be opened"),
    ],
)
def test_an_invalid_option_is_reported_in_one_line(
    run: Run, command: list[object], photos: Path, folder: Path, options: list[str], message: str
) -> None:
    result = run(*command, *(photos if word == "PHOTOS" else word for word in options))
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder / "indexes").exists()


def test_an_index_of_other_photos_is_not_reused(run: Run, command: list[object], photos: Path) -> None:
    assert run(*command, photos).code == 0
    next(photos.rglob("*.png")).unlink()
    result = run(*command, photos)
    assert result.code == 2
    assert "is an index of other photos; choose another --index or remove that folder" in result.stderr


@pytest.mark.parametrize("remote", [False, True])
def test_a_model_without_checkpoints_is_reported(
    run: Run, server: str, photos: Path, tmp_path: Path, remote: bool
) -> None:
    location = ["--server", server] if remote else [photos, "--model", "tiny"]
    result = run("evolve", *location, "--out", tmp_path / "out")
    assert (result.code, result.stdout) == (2, "")
    assert "model 'tiny' version 2 has no checkpoints; models with checkpoints: none. " in result.stderr
    assert "Create some with: zfscope train --checkpoints" in result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="requires a machine without CUDA")
def test_indexes_are_built_on_the_requested_device(run: Run, command: list[object], photos: Path) -> None:
    result = run(*command, photos, "--device", "cuda")
    assert result.code == 2
    assert result.stderr.startswith("zfscope: runtime 'onnx' cannot use CUDAExecutionProvider")
