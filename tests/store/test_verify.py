"""Verification of a model checks every file."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.store.conftest import TITLE, WEIGHTS, edit_manifest, rehash, store_of
from zfscope.errors import DamagedModel
from zfscope.networks import Network
from zfscope.store import Manifest, write_model


@pytest.fixture
def folder(tmp_path: Path, manifest: Manifest, network: Network) -> Path:
    checkpoint = tmp_path / "epoch.safetensors"
    weights = network.layers.state_dict()["conv1.weight"].half().contiguous()
    safetensors.torch.save_file({"conv1.weight": weights}, checkpoint)
    extra = {"README.md": b"# Tiny"}
    return write_model(tmp_path / "store", manifest, network, checkpoints={2: checkpoint}, extra_files=extra)


def test_an_intact_model_passes(folder: Path) -> None:
    verified = store_of(folder).verify("tiny-net")
    assert [stored.epoch for stored in verified.checkpoints] == [2]
    assert set(verified.files) == {WEIGHTS, "README.md", "checkpoints/epoch-002.safetensors"}


@pytest.mark.parametrize("file", ["README.md", "checkpoints/epoch-002.safetensors", WEIGHTS])
def test_a_changed_file_is_named(folder: Path, file: str) -> None:
    with (folder / file).open("ab") as opened:
        opened.write(b"\n")
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{file}' does not match the manifest"):
        store_of(folder).verify("tiny-net")


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "README.md").unlink()
    with pytest.raises(DamagedModel, match=f"{TITLE}: 'README.md' is missing"):
        store_of(folder).verify("tiny-net")


def test_a_file_that_is_not_listed_is_named(folder: Path) -> None:
    (folder / "checkpoints" / "extra.bin").touch()
    with pytest.raises(DamagedModel, match=f"{TITLE}: 'checkpoints/extra.bin' is in .* does not list it"):
        store_of(folder).verify("tiny-net")


def test_indexes_are_not_part_of_the_model(folder: Path) -> None:
    (folder / "indexes" / "val").mkdir(parents=True)
    (folder / "indexes" / "val" / "index.json").touch()
    rehash(folder)
    assert not any(file.startswith("indexes") for file in store_of(folder).verify("tiny-net").files)


def test_a_checkpoint_of_another_network_is_named(folder: Path) -> None:
    file = "checkpoints/epoch-002.safetensors"
    safetensors.torch.save_file({"conv1.weight": torch.zeros(1)}, folder / file)
    rehash(folder)
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{file}': tensor 'conv1.weight' has the shape"):
        store_of(folder).verify("tiny-net")


def test_a_checkpoint_that_is_not_listed_among_the_files_is_named(folder: Path) -> None:
    edit_manifest(folder, checkpoints=[{"epoch": 3, "file": "checkpoints/epoch-003.safetensors"}])
    with pytest.raises(DamagedModel, match=f"{TITLE}: the manifest does not list 'checkpoints/epoch-003"):
        store_of(folder).verify("tiny-net")
