"""Networks on images of other sizes than their own."""

import pytest
import torch
from torch.nn import functional as F

from tests.support.imported_networks import (
    residual,
    scores_after_pooling,
    squeeze_and_excitation,
    squeezenet_like,
)
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Add, AvgPool, Concat, Conv, Flatten, Linear, MaxPool
from zfscope.networks.resize import resized_shapes
from zfscope.networks.spec import shapes

NETWORKS = [residual(), squeeze_and_excitation(), squeezenet_like(), scores_after_pooling()]


@pytest.mark.parametrize("spec", NETWORKS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("size", [24, 32, 48])
def test_shapes_match_the_forward_pass(spec: NetworkSpec, size: int) -> None:
    network = build(spec, generator=torch.Generator().manual_seed(0))
    scores = network(torch.randn(2, 3, size, size), resize_maps=True)
    assert tuple(scores.shape[1:]) == resized_shapes(spec, size)[spec.scores] == (5,)


@pytest.mark.parametrize("size", [24, 48])
def test_global_pooling_covers_maps_of_any_size(size: int) -> None:
    network = build(residual(), generator=torch.Generator().manual_seed(0)).double()
    images = torch.randn(2, 3, size, size, dtype=torch.float64)
    weights = {name: (filters.weight, filters.bias) for name, filters in network.filters.items()}
    stem = F.conv2d(images, *weights["stem.conv"], stride=2, padding=1).relu()
    first = F.conv2d(stem, weights["block.conv1"][0], stride=2, padding=1, groups=2)
    weight, bias = (part[:, None, None] for part in weights["block.norm"] if part is not None)
    block = F.conv2d((first * weight + bias).relu(), *weights["block.conv2"], padding=1, groups=8)
    maps = (block + F.conv2d(stem, *weights["block.shortcut"], stride=2)).relu()
    expected = F.linear(maps.mean((2, 3)), *weights["fc"])
    torch.testing.assert_close(network(images, resize_maps=True), expected)


def test_at_its_own_size_a_network_is_unchanged() -> None:
    for spec in NETWORKS:
        network = build(spec, generator=torch.Generator().manual_seed(0))
        images = torch.randn(2, 3, 32, 32)
        assert torch.equal(network(images, resize_maps=True), network(images))
        assert resized_shapes(spec, 32) == shapes(spec)


def test_a_convolution_over_the_whole_map_reads_resized_maps() -> None:
    layers = (Conv(name="conv", channels=4, kernel=8), Flatten(name="flatten"))
    network = build(NetworkSpec(name="whole", input_size=8, layers=layers))
    images = torch.randn(1, 3, 12, 12)
    resized = F.interpolate(images, size=(8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(images, resize_maps=True), network(resized))
    assert resized_shapes(network.spec, 12)["conv"] == (4, 1, 1)


def test_all_inputs_of_a_layer_that_joins_vectors_are_kept() -> None:
    layers = (
        Conv(name="conv", channels=2, kernel=3),
        Flatten(name="flatten"),
        Linear(name="one", units=3),
        Linear(name="two", inputs=("flatten",), units=3),
        Add(name="sum", inputs=("one", "two")),
        Concat(name="scores", inputs=("sum", "one")),
    )
    network = build(NetworkSpec(name="joined", input_size=8, layers=layers))
    images = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(network(images, resize_maps=True), network(images))


def test_images_that_are_too_small_are_rejected_with_the_layer() -> None:
    layers = (MaxPool(name="peaks", kernel=5), AvgPool(name="pool", kernel=4), Flatten(name="flatten"))
    with pytest.raises(ValueError, match="layer 'peaks' reads"):
        resized_shapes(NetworkSpec(name="small", input_size=8, layers=layers), 4)
