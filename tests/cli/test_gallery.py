"""`zfscope gallery`: from a folder of photos to pages in one command."""

import json
from collections.abc import Callable, Sequence
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
    """A folder with six photos."""
    (tmp_path / "photos" / "ant").mkdir(parents=True)
    for number in range(6):
        drawn = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        photo = Image.fromarray(drawn).resize((60, 48), Image.Resampling.BICUBIC)
        photo.save(tmp_path / "photos" / "ant" / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def folder(tmp_path: Path, write: Callable[..., Path]) -> Path:
    """Folder of a model with a checkpoint of epoch 1, the only model of the store `models`."""
    network = build(SPEC, generator=torch.Generator().manual_seed(41))
    tensors = {
        f"{name}.{part}": tensor.contiguous()
        for name, filters in network.filters.items()
        if name.startswith("conv")
        for part, tensor in filters.state_dict().items()
    }
    save_file(tensors, tmp_path / "early.safetensors")
    return write(tmp_path / "models", 1, checkpoints={1: tmp_path / "early.safetensors"})


@pytest.fixture
def command(folder: Path, photos: Path, tmp_path: Path) -> list[object]:
    """The command with its photos, store and output folder."""
    return ["gallery", photos, "--store", folder.parent.parent, "--out", tmp_path / "out"]


def test_one_command_builds_the_indexes_and_the_pages(
    run: Run, command: list[object], folder: Path, tmp_path: Path
) -> None:
    result = run(*command, "--layers", "conv1,fc6", "--top", 4, "--title", "Mine", "--json")
    assert (result.code, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    assert answer.pop("index_sha256")
    assert answer == {
        "folder": str(tmp_path / "out"),
        "format_version": 1,
        "precision": "float32",
        "title": "Mine",
        "model": "tiny",
        "version": 1,
        "index": "photos",
        "photos": 6,
        "top": 4,
        "epochs": [1],
        "layers": {
            "conv1": {"maps": 6, "dead": 0, "marked": 0, "warnings": []},
            "fc6": {"maps": 4, "dead": answer["layers"]["fc6"]["dead"], "marked": 0, "warnings": []},
        },
        "images": 6,
        "skipped": 0,
        "passed_over": {},
    }
    assert sorted(path.name for path in (folder / "indexes").iterdir()) == ["photos", "photos-epoch-001"]
    assert (tmp_path / "out" / "conv1" / "5-evolution.png").exists()
    assert "Mine" in (tmp_path / "out" / "index.html").read_text()


def test_all_layers_of_an_existing_index_are_shown(run: Run, command: list[object], tmp_path: Path) -> None:
    assert run(*command, "--layers", "conv1,conv2", "--no-evolution").code == 0
    text = run(*command, "--count", 2, "--no-evolution").stdout
    assert "gallery of tiny version 1" in text
    assert f"6 photos. Open {tmp_path / 'out' / 'index.html'}" in text
    gallery = json.loads((tmp_path / "out" / "gallery.json").read_text())
    assert {name: layer["maps"] for name, layer in gallery["layers"].items()} == {"conv1": 2, "conv2": 2}
    assert gallery["epochs"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "conv9"], "layer 'conv9' not found; available: conv1, "),
        (["--top", 7], "top is 7; allowed: 1 to 6 (index 'photos' has 6 photos per map)"),
        (["--count", 0], "count is 0; allowed: 1 or more"),
        (["--model", "other"], "model 'other' not found"),
        (["--index", "No Name"], "name 'No Name' must match"),
    ],
)
def test_an_invalid_option_is_reported_in_one_line(
    run: Run, command: list[object], tmp_path: Path, options: list[object], message: str
) -> None:
    result = run(*command, "--no-evolution", *options)
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_layer_missing_from_the_index_is_an_error(run: Run, command: list[object]) -> None:
    assert run(*command, "--layers", "conv1", "--count", 1, "--no-evolution").code == 0
    result = run(*command, "--layers", "fc6")
    assert result.code == 2
    assert (
        "layer 'fc6' is not in index 'photos'; available: conv1; choose a new name with --index"
        in result.stderr
    )


def test_a_folder_with_other_files_is_not_modified(run: Run, command: list[object], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    result = run(*command, "--layers", "conv1", "--no-evolution")
    assert result.code == 2
    assert "has other contents than a gallery" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="requires a machine without CUDA")
def test_indexes_are_built_on_the_requested_device(run: Run, command: list[object]) -> None:
    result = run(*command, "--device", "cuda")
    assert result.code == 2
    assert result.stderr.startswith("zfscope: runtime 'onnx' cannot use CUDAExecutionProvider")


def make_indexes_unwritable(folder: Path) -> None:
    """Prevent indexes from being written to a model's folder, even by root."""
    (folder / "indexes").write_text("not a folder")


def test_indexes_can_be_written_outside_a_read_only_store(
    run: Run, command: list[object], folder: Path, photos: Path, tmp_path: Path
) -> None:
    make_indexes_unwritable(folder)
    options = ["--layers", "conv1", "--count", 2]
    result = run(*command, *options)
    assert result.code == 2
    assert result.stderr.endswith(": Not a directory; choose another folder with --indexes\n")
    indexes = ["--indexes", tmp_path / "mine"]
    assert run(*command, *options, *indexes).code == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["photos", "photos-epoch-001"]
    gallery = json.loads((tmp_path / "out" / "gallery.json").read_text())
    assert (gallery["photos"], gallery["epochs"]) == (6, [1])
    store = ["--store", folder.parent.parent, "--out", tmp_path / "other", *indexes, "--json"]
    top_k = run("top-k", "--layer", "conv1", "--count", 1, *store)
    assert json.loads(top_k.stdout)["tables"]["maps"]
    evolution = run("evolve", "--layer", "conv1", "--count", 1, *store)
    assert json.loads(evolution.stdout)["tables"]["evolution"]
    repeated = run("evolve", photos, "--layer", "conv1", "--count", 1, *store)
    assert json.loads(repeated.stdout)["tables"] == json.loads(evolution.stdout)["tables"]


def test_indexes_built_outside_the_store_are_used(
    run: Run, command: list[object], folder: Path, photos: Path, tmp_path: Path
) -> None:
    store = ["--store", folder.parent.parent]
    assert run("index", photos, "--layers", "conv2", *store, "--out", tmp_path / "mine").code == 0
    result = run(*command, "--count", 1, "--no-evolution", "--indexes", tmp_path / "mine", "--json")
    assert list(json.loads(result.stdout)["layers"]) == ["conv2"]
    assert not (folder / "indexes").exists()


@pytest.mark.parametrize("command", [["top-k"], ["evolve"], ["analyze", "top-k"]])
def test_indexes_cannot_be_combined_with_a_service(run: Run, tmp_path: Path, command: list[str]) -> None:
    assert_indexes_rejected(run, tmp_path, command)


def test_compare_cannot_combine_indexes_with_a_service(run: Run, tmp_path: Path, photos: Path) -> None:
    assert_indexes_rejected(run, tmp_path, ["compare", photos, "--models", "a,b", "--index", "val"])


def assert_indexes_rejected(run: Run, tmp_path: Path, command: Sequence[object]) -> None:
    result = run(*command, "--indexes", tmp_path, "--server", "127.0.0.1:1")
    assert result.code == 2
    assert "--indexes cannot be combined with --server; the service reads its own indexes" in result.stderr


@pytest.mark.parametrize("command", [["top-k"], ["evolve"], ["analyze", "top-k"]])
def test_a_file_in_place_of_the_index_folder_is_an_error(
    run: Run, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "file").touch()
    result = run(*command, "--indexes", tmp_path / "file")
    assert (result.code, result.stderr) == (2, f"zfscope: --indexes: '{tmp_path}/file' is not a folder\n")
