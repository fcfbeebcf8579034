"""`zfscope gallery`: from a folder of photos to pages by one command."""

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
    """Six photos."""
    (tmp_path / "photos" / "ant").mkdir(parents=True)
    for number in range(6):
        drawn = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        photo = Image.fromarray(drawn).resize((60, 48), Image.Resampling.BICUBIC)
        photo.save(tmp_path / "photos" / "ant" / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def folder(tmp_path: Path, write: Callable[..., Path]) -> Path:
    """The folder of a model with a checkpoint of epoch 1, the only one of the store `models`."""
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
def words(folder: Path, photos: Path, tmp_path: Path) -> list[object]:
    """The command in the store of the test, and where it writes to."""
    return ["gallery", photos, "--store", folder.parent.parent, "--out", tmp_path / "out"]


def test_one_command_makes_the_indexes_and_the_pages(
    run: Run, words: list[object], folder: Path, tmp_path: Path
) -> None:
    result = run(*words, "--layers", "conv1,fc6", "--top", 4, "--title", "Mine", "--json")
    assert (result.code, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    assert answer.pop("index_sha256")
    assert answer == {
        "folder": str(tmp_path / "out"),
        "format_version": 1,
        "title": "Mine",
        "model": "tiny",
        "version": 1,
        "index": "photos",
        "photos": 6,
        "top": 4,
        "epochs": [1],
        "layers": {
            "conv1": {"maps": 6, "dead": 0, "marked": 0},
            "fc6": {"maps": 4, "dead": answer["layers"]["fc6"]["dead"], "marked": 0},
        },
        "images": 6,
        "skipped": 0,
        "passed_over": {},
    }
    assert sorted(path.name for path in (folder / "indexes").iterdir()) == ["photos", "photos-epoch-001"]
    assert (tmp_path / "out" / "conv1" / "5-evolution.png").exists()
    assert "Mine" in (tmp_path / "out" / "index.html").read_text()


def test_indexes_that_are_there_are_shown_whole(run: Run, words: list[object], tmp_path: Path) -> None:
    assert run(*words, "--layers", "conv1,conv2", "--no-evolution").code == 0
    text = run(*words, "--count", 2, "--no-evolution").stdout
    assert "gallery of tiny version 1" in text
    assert f"6 photos. Open {tmp_path / 'out' / 'index.html'}" in text
    made = json.loads((tmp_path / "out" / "gallery.json").read_text())
    assert {name: layer["maps"] for name, layer in made["layers"].items()} == {"conv1": 2, "conv2": 2}
    assert made["epochs"] == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--layers", "conv9"], "layer 'conv9' not found; available: conv1, "),
        (["--top", 7], "top is 7; allowed: 1 to 6 (index 'photos' has 6 photos per map)"),
        (["--count", 0], "count is 0; allowed: 1 or more"),
        (["--model", "other"], "model 'other' not found"),
        (["--index", "No Name"], "name 'No Name' must match"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    run: Run, words: list[object], tmp_path: Path, options: list[object], told: str
) -> None:
    result = run(*words, "--no-evolution", *options)
    assert (result.code, result.stdout) == (2, "")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_index_that_lacks_a_layer_is_not_shown_for_it(run: Run, words: list[object]) -> None:
    assert run(*words, "--layers", "conv1", "--count", 1, "--no-evolution").code == 0
    result = run(*words, "--layers", "fc6")
    assert result.code == 2
    assert "index 'photos' has no layer 'fc6', it has conv1; choose a new name with --index" in result.stderr


def test_a_folder_of_other_things_is_not_touched(run: Run, words: list[object], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    result = run(*words, "--layers", "conv1", "--no-evolution")
    assert result.code == 2
    assert "has other contents than a gallery" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_indexes_are_made_on_the_device_that_is_asked_for(run: Run, words: list[object]) -> None:
    result = run(*words, "--device", "cuda")
    assert result.code == 2
    assert result.stderr.startswith("zfscope: runtime 'onnx' cannot use CUDAExecutionProvider")


def read_only(folder: Path) -> None:
    """Make a model's folder one in which no index can be written, for root too."""
    (folder / "indexes").write_text("not a folder")


def test_in_a_store_that_cannot_be_written_indexes_are_put_elsewhere(
    run: Run, words: list[object], folder: Path, photos: Path, tmp_path: Path
) -> None:
    read_only(folder)
    options = ["--layers", "conv1", "--count", 2]
    result = run(*words, *options)
    assert result.code == 2
    assert result.stderr.endswith(": Not a directory; choose another folder with --indexes\n")
    where = ["--indexes", tmp_path / "mine"]
    assert run(*words, *options, *where).code == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["photos", "photos-epoch-001"]
    made = json.loads((tmp_path / "out" / "gallery.json").read_text())
    assert (made["photos"], made["epochs"]) == (6, [1])
    store = ["--store", folder.parent.parent, "--out", tmp_path / "seen", *where, "--json"]
    shown = run("top-k", "--layer", "conv1", "--count", 1, *store)
    assert json.loads(shown.stdout)["tables"]["maps"]
    grown = run("evolve", "--layer", "conv1", "--count", 1, *store)
    assert json.loads(grown.stdout)["tables"]["evolution"]
    again = run("evolve", photos, "--layer", "conv1", "--count", 1, *store)
    assert json.loads(again.stdout)["tables"] == json.loads(grown.stdout)["tables"]


def test_indexes_made_by_index_elsewhere_are_found(
    run: Run, words: list[object], folder: Path, photos: Path, tmp_path: Path
) -> None:
    store = ["--store", folder.parent.parent]
    assert run("index", photos, "--layers", "conv2", *store, "--out", tmp_path / "mine").code == 0
    result = run(*words, "--count", 1, "--no-evolution", "--indexes", tmp_path / "mine", "--json")
    assert list(json.loads(result.stdout)["layers"]) == ["conv2"]
    assert not (folder / "indexes").exists()


@pytest.mark.parametrize("command", [["top-k"], ["evolve"], ["analyze", "top-k"]])
def test_a_service_reads_indexes_of_its_own(run: Run, tmp_path: Path, command: list[str]) -> None:
    refuses_indexes(run, tmp_path, command)


def test_and_so_where_models_are_compared(run: Run, tmp_path: Path, photos: Path) -> None:
    refuses_indexes(run, tmp_path, ["compare", photos, "--models", "a,b", "--index", "val"])


def refuses_indexes(run: Run, tmp_path: Path, command: Sequence[object]) -> None:
    result = run(*command, "--indexes", tmp_path, "--server", "127.0.0.1:1")
    assert result.code == 2
    assert "--indexes cannot be combined with --server; the service reads its own indexes" in result.stderr


@pytest.mark.parametrize("command", [["top-k"], ["evolve"], ["analyze", "top-k"]])
def test_a_file_is_not_a_folder_of_indexes(run: Run, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").touch()
    result = run(*command, "--indexes", tmp_path / "file")
    assert (result.code, result.stderr) == (2, f"zfscope: --indexes: '{tmp_path}/file' is not a folder\n")
