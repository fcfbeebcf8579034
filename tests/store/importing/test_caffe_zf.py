"""Caffe's ZF: every layer matches a reference written from its prototxt."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.store.importing.conftest import assert_layers_agree, photos
from zfscope.store.importing.caffe_zf import caffe_zf

SHAPES = {
    "conv1": (96, 3, 7),
    "conv2": (256, 96, 5),
    "conv3": (384, 256, 3),
    "conv4": (384, 384, 3),
    "conv5": (256, 384, 3),
}


def blobs() -> dict[str, Tensor]:
    generator, tensors = np.random.default_rng(0), {}
    for name, (maps, channels, side) in SHAPES.items():
        size = (2 / (channels * side * side)) ** 0.5
        weight = generator.normal(0, size, (maps, channels, side, side)).astype(np.float32)
        tensors[f"{name}.weight"] = torch.from_numpy(weight)
        tensors[f"{name}.bias"] = torch.from_numpy(generator.normal(0, 0.1, maps).astype(np.float32))
    return tensors


def within_channel(x: Tensor) -> Tensor:
    """LRN of local_size 3, alpha 5e-5, beta 0.75, WITHIN_CHANNEL: a power of the mean of nine squares."""
    mean = F.avg_pool2d(x.square(), 3, stride=1, padding=1)
    return x * (1 + 5e-5 * mean) ** -0.75


def prototxt_outputs(blobs: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
    """Return the outputs of the layers of models/pascal_voc/ZF; Caffe's pools round up."""
    outputs, x = {}, images
    for name in SHAPES:
        stride, padding = {"conv1": (2, 3), "conv2": (2, 2)}.get(name, (1, 1))
        x = F.conv2d(x, blobs[f"{name}.weight"], blobs[f"{name}.bias"], stride=stride, padding=padding)
        outputs[name] = x
        x = outputs[name.replace("conv", "relu")] = x.relu()
        if name in ("conv1", "conv2"):
            x = outputs[name.replace("conv", "norm")] = within_channel(x)
            x = outputs[name.replace("conv", "pool")] = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)
    return outputs


def test_every_layer_matches_the_prototxt() -> None:
    weights, images = (
        blobs(),
        100 * photos(224, 1),
    )  # as large as pixels, so that the normalisation has an effect
    outputs = prototxt_outputs(weights, images)
    assert (outputs["norm1"] / outputs["relu1"].clamp(min=1e-9)).min() < 0.9
    imported = caffe_zf(weights)
    assert [outputs[name].shape[2] for name in ("conv1", "pool1", "conv2", "pool2")] == [112, 57, 29, 15]
    assert set(outputs) == {layer.name for layer in imported.network.spec.layers}
    assert_layers_agree(imported.network, images, outputs)


def test_detector_layers_are_left_out_and_the_model_has_no_classes() -> None:
    imported = caffe_zf({**blobs(), "fc6.weight": torch.zeros(1), "rpn_conv/3x3.weight": torch.zeros(1)})
    assert imported.classes == 0
    assert imported.network.spec.scores == "relu5"


def test_the_image_is_bgr() -> None:
    preprocessing = caffe_zf(blobs()).preprocessing
    assert (preprocessing.channels, preprocessing.mean) == ("BGR", (102.9801, 115.9465, 122.7717))


def test_blobs_of_another_network_are_rejected() -> None:
    other = {name: tensor for name, tensor in blobs().items() if name != "conv3.bias"}
    with pytest.raises(ValueError, match=r"tensor 'conv3\.bias' is missing"):
        caffe_zf(other)
