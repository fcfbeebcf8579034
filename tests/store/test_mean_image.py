"""The mean image of a model, stored with its weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.store.conftest import TITLE, WEIGHTS, edit_manifest, replace_weights, store_of
from zfscope.errors import DamagedModel
from zfscope.networks import Network
from zfscope.store import Manifest, ModelStore, write_model

Write = Callable[..., Path]


def with_mean_image(manifest: Manifest) -> Manifest:
    preprocessing = manifest.preprocessing.model_copy(update={"mean": "image"})
    return manifest.model_copy(update={"preprocessing": preprocessing})


def test_a_mean_image_is_stored_with_the_weights_in_full_precision(
    tmp_path: Path, manifest: Manifest, network: Network
) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (3, 8, 8)).astype(np.float32)
    write_model(tmp_path, with_mean_image(manifest), network, mean_image=image)
    loaded = ModelStore(tmp_path).load("tiny-net").mean_image
    assert loaded is not None
    np.testing.assert_array_equal(loaded, image)
    with pytest.raises(ValueError, match="read-only"):
        loaded[0, 0, 0] = 1


def test_a_missing_mean_image_is_rejected(tmp_path: Path, manifest: Manifest, network: Network) -> None:
    folder = write_model(tmp_path, manifest, network)
    edit_manifest(folder, preprocessing={**manifest.preprocessing.model_dump(), "mean": "image"})
    with pytest.raises(
        DamagedModel, match=f"{TITLE}: .*the mean image that the preprocessing subtracts is missing"
    ):
        ModelStore(tmp_path).load("tiny-net")


def test_an_unused_mean_image_is_rejected(write: Write) -> None:
    folder = write()
    replace_weights(folder, lambda tensors: {**tensors, "mean_image": torch.zeros(3, 8, 8)})
    with pytest.raises(DamagedModel, match="the preprocessing subtracts no mean image, but the file has one"):
        store_of(folder).load("tiny-net")


@pytest.mark.parametrize("size", [7, 9])
def test_a_mean_image_of_another_size_is_rejected(write: Write, size: int) -> None:
    folder = write()
    replace_weights(folder, lambda tensors: {**tensors, "mean_image": torch.zeros(3, size, size)})
    edit_manifest(folder, preprocessing={"short_side": 8, "centre": 8, "crop": 8, "mean": "image"})
    with pytest.raises(DamagedModel, match=rf"mean image has shape \(3, {size}, {size}\); .* \(3, 8, 8\)"):
        store_of(folder).load("tiny-net")


@pytest.mark.parametrize(
    "image", [torch.zeros(3, 8, 8).half(), torch.zeros(8, 8), torch.full((3, 8, 8), np.nan)]
)
def test_a_mean_image_of_another_shape_is_rejected(write: Write, image: Tensor) -> None:
    folder = write()
    replace_weights(folder, lambda tensors: {**tensors, "mean_image": image})
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{WEIGHTS}': tensor 'mean_image'"):
        store_of(folder).load("tiny-net")
