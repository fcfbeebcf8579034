"""Shapes of layers and weights, computed without a forward pass."""

from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from zfscope.networks import Network, NetworkSpec
from zfscope.networks.forward import FORWARD
from zfscope.networks.layers import Conv, Flatten, Linear, ReLU
from zfscope.networks.spec import multiplications, parameter_count, shapes, tensor_shapes
from zfscope.networks.windows import Padding, Window, pair


@pytest.mark.parametrize("name", ["tiny_network", "branchy_network"])
def test_shapes_equal_those_of_a_forward_pass(name: str, request: pytest.FixtureRequest) -> None:
    network: Network = request.getfixturevalue(name)
    known = {"input": torch.zeros(1, *network.shapes["input"], dtype=torch.float64)}
    for layer in network.spec.layers:
        inputs = [known[source] for source in network.spec.sources[layer.name]]
        known[layer.name] = FORWARD[layer.kind](layer, inputs, network.weights(layer.name))
    assert {layer: tuple(output.shape[1:]) for layer, output in known.items()} == network.shapes


def test_shapes_depend_on_the_size_of_the_image(tiny_spec: NetworkSpec) -> None:
    assert shapes(tiny_spec, input_size=65)["conv1"] == (6, 32, 32)


def test_the_parameter_count_includes_weights_and_biases(tiny_network: Network) -> None:
    counted = sum(parameter.numel() for parameter in tiny_network.parameters())
    assert parameter_count(tiny_network.spec) == counted


def test_multiplications_count_convolutions_and_fully_connected_layers() -> None:
    spec = NetworkSpec(
        name="net",
        input_size=6,
        layers=(
            Conv(name="conv", channels=2, kernel=3, stride=2),  # 2 x 2 x 2 positions, 3 x 3 x 3 weights each
            ReLU(name="relu"),
            Flatten(name="flatten"),
            Linear(name="fc", units=5),  # 8 x 5
        ),
    )
    assert multiplications(spec) == 8 * 27 + 40


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 5),
    padding=st.integers(0, 3),
    ceil=st.booleans(),
)
def test_windows_of_pooling_are_counted_as_in_torch(
    size: int, kernel: int, stride: int, padding: int, ceil: bool
) -> None:
    padding = min(padding, kernel // 2)  # the maximum in torch
    window = Window(pair(kernel), pair(stride), Padding(*[padding] * 4), "ceil" if ceil else "floor")
    count, _ = window.grid(size, 1)
    if size + 2 * padding < kernel:
        assert count == 0
    else:
        pooled = F.max_pool2d(torch.zeros(1, 1, size, size), kernel, stride, padding, ceil_mode=ceil)
        assert pooled.shape[2:] == (count, count)


@given(size=st.integers(1, 40), kernel=st.integers(1, 7), stride=st.integers(1, 5), padding=st.integers(0, 6))
def test_windows_of_convolutions_are_counted_as_in_torch(
    size: int, kernel: int, stride: int, padding: int
) -> None:
    count, _ = Window(pair(kernel), pair(stride), Padding(*[padding] * 4)).grid(size, 1)
    if size + 2 * padding < kernel:
        assert count == 0
    else:
        image, weight = torch.zeros(1, 1, size, size), torch.zeros(1, 1, kernel, kernel)
        assert F.conv2d(image, weight, stride=stride, padding=padding).shape[2:] == (count, count)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [Linear(name="fc", units=2)],
            r"layer 'fc' reads \(3, 8, 8\); it needs a vector: add a flatten layer before it",
        ),
        (
            [Flatten(name="flat"), Conv(name="conv", channels=1, kernel=1)],
            r"layer 'conv' reads \(192,\); it needs maps, not a vector",
        ),
        (
            [Conv(name="conv", channels=1, kernel=9)],
            r"layer 'conv' reads \(3, 8, 8\); it needs maps of at least 9 x 9 pixels with padding",
        ),
        (
            [
                {"kind": "relu", "name": "a"},
                Conv(name="b", channels=3, kernel=2),
                {"kind": "add", "name": "sum", "inputs": ["a", "b"]},
            ],
            r"layer 'sum' reads \[\(3, 8, 8\), \(3, 7, 7\)\]; it needs inputs of equal shape",
        ),
        (
            [
                {"kind": "relu", "name": "a"},
                Conv(name="b", channels=1, kernel=2),
                {"kind": "concat", "name": "both", "inputs": ["a", "b"]},
            ],
            r"layer 'both' reads \[\(3, 8, 8\), \(1, 7, 7\)\]; it needs maps of equal size",
        ),
    ],
)
def test_incompatible_layers_are_rejected_by_name(layers: list[Any], message: str) -> None:
    spec = NetworkSpec.model_validate({"name": "net", "input_size": 8, "layers": layers})
    with pytest.raises(ValueError, match=message):
        shapes(spec)


def test_concatenated_inputs_may_differ_in_number_of_maps(branchy_spec: NetworkSpec) -> None:
    assert shapes(branchy_spec)["joined"] == (4 + 4 + 6, 8, 8)
    assert prod(shapes(branchy_spec)["flatten"]) == 11 * 4 * 4


def test_padding_of_each_side_counts() -> None:
    layer = Conv(name="conv", channels=1, kernel=4, stride=3, padding=Padding(left=1, right=2))
    spec = NetworkSpec(name="net", input_size=10, layers=(layer,))
    assert shapes(spec)["conv"] == (1, 3, 4)


def test_tensor_shapes_equal_the_state_dict(tiny_network: Network, branchy_network: Network) -> None:
    for network in (tiny_network, branchy_network):
        built = [(name, tuple(tensor.shape)) for name, tensor in network.layers.state_dict().items()]
        assert list(tensor_shapes(network.spec).items()) == built
