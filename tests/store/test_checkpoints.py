"""A model at a checkpoint of its training."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.store.conftest import rehash, store_of
from zfscope.errors import DamagedModel, NotFound
from zfscope.networks import Network, NetworkSpec, build
from zfscope.store import Manifest, write_model

Write = Callable[..., Path]


@pytest.fixture
def early(spec: NetworkSpec) -> Network:
    return build(spec, generator=torch.Generator().manual_seed(9))


@pytest.fixture
def folder(tmp_path: Path, manifest: Manifest, network: Network, early: Network) -> Path:
    checkpoint = tmp_path / "epoch.safetensors"
    layers = early.filters["conv1"].state_dict()
    tensors = {f"conv1.{name}": tensor.half().contiguous() for name, tensor in layers.items()}
    safetensors.torch.save_file(tensors, checkpoint)
    return write_model(tmp_path / "store", manifest, network, checkpoints={2: checkpoint, 5: checkpoint})


def test_a_checkpoint_has_the_filters_of_its_epoch_and_ends_with_feature_maps(
    folder: Path, early: Network
) -> None:
    model = store_of(folder).load_checkpoint("tiny-net", 2)
    assert [layer.name for layer in model.network.spec.layers] == ["conv1", "relu1", "pool1"]
    expected = early.filters["conv1"].weight.half().float()
    assert torch.equal(model.network.filters["conv1"].weight, expected)
    assert (model.name, model.version, model.labels, model.folder) == ("tiny-net", 1, (), folder)


def test_the_weights_hash_is_that_of_the_checkpoint_file(folder: Path) -> None:
    final, early = store_of(folder).load("tiny-net"), store_of(folder).load_checkpoint("tiny-net", 2)
    file = "checkpoints/epoch-002.safetensors"
    assert early.weights_sha256 == hashlib.sha256((folder / file).read_bytes()).hexdigest()
    assert early.weights_sha256 != final.weights_sha256


def test_an_epoch_without_a_checkpoint_is_reported_with_the_available_ones(folder: Path) -> None:
    with pytest.raises(
        NotFound, match=r"model 'tiny-net' .*has no checkpoint of epoch 3; available: 2, 5"
    ) as refusal:
        store_of(folder).load_checkpoint("tiny-net", 3)
    assert refusal.value.field == "checkpoint"


def test_a_model_without_checkpoints_is_reported(write: Write) -> None:
    with pytest.raises(NotFound, match="has no checkpoint of epoch 1; available: none"):
        store_of(write()).load_checkpoint("tiny-net", 1)


def test_a_damaged_checkpoint_is_named(folder: Path) -> None:
    file = "checkpoints/epoch-002.safetensors"
    safetensors.torch.save_file({"conv1.weight": torch.zeros(4, 3, 3, 3)}, folder / file)
    with pytest.raises(DamagedModel, match=f"'{file}' does not match the manifest"):
        store_of(folder).load_checkpoint("tiny-net", 2)
    rehash(folder)
    with pytest.raises(DamagedModel, match=f"'{file}': tensor 'conv1.bias' is missing"):
        store_of(folder).load_checkpoint("tiny-net", 2)


def test_the_mean_image_is_that_of_the_final_weights(
    tmp_path: Path, manifest: Manifest, network: Network
) -> None:
    checkpoint = tmp_path / "epoch.safetensors"
    layers = network.filters["conv1"].state_dict()
    tensors = {f"conv1.{name}": tensor.contiguous() for name, tensor in layers.items()}
    safetensors.torch.save_file(tensors, checkpoint)
    mean = np.full((3, 8, 8), 7, np.float32)
    preprocessing = manifest.preprocessing.model_copy(update={"mean": "image"})
    changed = manifest.model_copy(update={"preprocessing": preprocessing})
    folder = write_model(tmp_path / "store", changed, network, checkpoints={1: checkpoint}, mean_image=mean)
    loaded = store_of(folder).load_checkpoint("tiny-net", 1).mean_image
    assert loaded is not None
    np.testing.assert_array_equal(loaded, mean)
