"""Exported graphs compute the same as torch, for every kind and parameter of layers."""

import math
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from zfscope.networks import Network, NetworkSpec, alexnet, zfnet
from zfscope.networks.layer import Layer, computed_kinds
from zfscope.networks.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    ReLU,
)
from zfscope.networks.spec import shapes
from zfscope.networks.windows import Padding
from zfscope.runtimes.onnx.graph import onnx_graph
from zfscope.runtimes.onnx.nodes import NODES

Images = NDArray[np.float32]
MakeNetwork = Callable[[NetworkSpec], Network]
MakeImages = Callable[..., Images]


def graph_of(network: Network) -> bytes:
    return onnx_graph(
        network.spec, {name: tensor.numpy() for name, tensor in network.layers.state_dict().items()}
    )


def run(graph: bytes, images: Images) -> Images:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"input": images})
    assert isinstance(scores, np.ndarray)
    return scores


def assert_equal_to_torch(network: Network, images: Images) -> None:
    expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(run(graph_of(network), images), expected, atol=1e-4, rtol=1e-4)


BRANCHES = NetworkSpec(
    name="branches",
    input_size=21,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2, padding=Padding(1, 0, 2, 3)),
        ReLU(name="relu1"),
        LocalResponseNorm(name="norm1", size=3, alpha=0.5, beta=0.6, k=1.5),
        Conv(name="left", channels=4, kernel=1, inputs=("norm1",)),
        Conv(name="right", channels=4, kernel=3, padding=Padding(1, 1, 1, 1), inputs=("norm1",)),
        Add(name="add", inputs=("left", "right", "left")),
        Concat(name="concat", inputs=("add", "norm1", "right")),
        AvgPool(name="mean", kernel=3, stride=2, padding=Padding(0, 1, 2, 0)),
        Dropout(name="drop"),
        MaxPool(name="pool", kernel=3, stride=2, padding=Padding(1, 0, 0, 2), rounding="ceil"),
        Flatten(name="flatten"),
        Linear(name="fc", units=7),
    ),
)


def test_every_kind_of_layer_has_a_row_in_the_table() -> None:
    assert set(NODES) == computed_kinds()


def test_branches_and_asymmetric_windows_equal_torch(
    make_network: MakeNetwork, make_images: MakeImages
) -> None:
    assert_equal_to_torch(make_network(BRANCHES), make_images(BRANCHES))


@pytest.mark.parametrize("factory", [zfnet, alexnet])
def test_the_networks_of_the_paper_equal_torch(
    factory: Callable[..., NetworkSpec], make_network: MakeNetwork, make_images: MakeImages
) -> None:
    spec = factory(classes=10, hidden=32)
    assert_equal_to_torch(make_network(spec), make_images(spec))


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_may_have_any_size(make_network: MakeNetwork, make_images: MakeImages, count: int) -> None:
    assert run(graph_of(make_network(BRANCHES)), make_images(BRANCHES, count)).shape == (count, 7)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_normalisation_within_maps_equals_torch(
    make_network: MakeNetwork, make_images: MakeImages, size: int
) -> None:
    norm = LocalResponseNorm(name="norm", region="within_map", size=size, alpha=0.7, beta=0.6, k=1.5)
    filters = Conv(name="conv", channels=4, kernel=3, padding=Padding(1, 1, 1, 1))
    network = make_network(NetworkSpec(name="within", input_size=9, layers=(filters, norm)))
    assert_equal_to_torch(network, make_images(network.spec, 2))


def test_normalisation_across_units_equals_torch(make_network: MakeNetwork, make_images: MakeImages) -> None:
    spec = NetworkSpec(
        name="vector",
        input_size=3,
        layers=(
            Flatten(name="flatten"),
            Linear(name="fc1", units=9),
            LocalResponseNorm(name="norm", size=5, alpha=2, beta=0.75, k=1),
            ReLU(name="relu"),
        ),
    )
    assert_equal_to_torch(make_network(spec), make_images(spec))


@pytest.mark.parametrize("size", [1, 5, 13])
@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_normalisation_across_maps_equals_torch(
    make_network: MakeNetwork, make_images: MakeImages, size: int, beta: float
) -> None:
    norm = LocalResponseNorm(name="norm", size=size, alpha=3, beta=beta, k=0.5)
    conv = Conv(name="conv", channels=8, kernel=3)
    spec = NetworkSpec(name="maps", input_size=9, layers=(conv, norm, Flatten(name="flatten")))
    assert_equal_to_torch(make_network(spec), make_images(spec))


def test_normalisation_with_the_default_exponent_uses_no_pow(make_network: MakeNetwork) -> None:
    graph = onnx.load_from_string(graph_of(make_network(zfnet(classes=2, hidden=2)))).graph
    assert not {"LRN", "Pow"} & {node.op_type for node in graph.node}


@pytest.mark.parametrize(
    "last",
    [Dropout(name="last"), Flatten(name="last"), ReLU(name="last"), Add(name="last", inputs=("fc", "fc"))],
)
def test_the_last_layer_may_be_of_any_kind(
    make_network: MakeNetwork, make_images: MakeImages, last: Layer
) -> None:
    first = (Flatten(name="flat"), Linear(name="fc", units=4))
    spec = NetworkSpec(name="last", input_size=3, layers=(*first, last))
    assert_equal_to_torch(make_network(spec), make_images(spec))


def test_shape_inference_finds_the_shapes_of_the_spec(make_network: MakeNetwork) -> None:
    graph = onnx.load_from_string(graph_of(make_network(BRANCHES)))
    onnx.checker.check_model(graph, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True)
    inferred_shapes = {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim[1:])
        for value in (*inferred.graph.value_info, *inferred.graph.output)
    }
    assert inferred_shapes == {name: shape for name, shape in shapes(BRANCHES).items() if name != "input"}


def test_tensors_have_the_names_of_their_layers(make_network: MakeNetwork) -> None:
    graph = onnx.load_from_string(graph_of(make_network(BRANCHES))).graph
    assert [node.output[0] for node in graph.node] == [layer.name for layer in BRANCHES.layers]
    assert [value.name for value in graph.input] == ["input"]
    assert [value.name for value in graph.output] == ["fc"]


def test_exports_of_a_network_are_identical(make_network: MakeNetwork) -> None:
    assert graph_of(make_network(BRANCHES)) == graph_of(make_network(BRANCHES))


@st.composite
def window_layers(draw: st.DrawFn) -> Layer:
    """Draw a pooling or convolutional layer with any kernel, stride, padding and rounding that is allowed."""
    kind = draw(st.sampled_from([MaxPool, MaxPool, AvgPool, Conv]))
    kernel = draw(st.integers(1, 5))
    window = {
        "name": "window",
        "kernel": kernel,
        "stride": draw(st.integers(1, 6)),
        "padding": Padding(*(draw(st.integers(0, kernel - 1)) for _ in range(4))),
    }
    if kind is MaxPool:
        return MaxPool(**window, rounding=draw(st.sampled_from(["floor", "ceil"])))
    return Conv(**window, channels=2) if kind is Conv else AvgPool(**window)


def fits(layer: Layer, size: int) -> bool:
    try:
        shapes(NetworkSpec(name="one", input_channels=2, input_size=size, layers=(layer,)))
    except ValueError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(layer=window_layers(), size=st.integers(1, 11))
def test_windows_of_any_size_stride_padding_and_rounding_equal_torch(
    make_network_once: MakeNetwork, layer: Layer, size: int
) -> None:
    if not fits(layer, size):
        return
    layers = (layer, Flatten(name="flatten"))
    spec = NetworkSpec(name="one", input_channels=2, input_size=size, layers=layers)
    # All values are negative, so that a zero of the padding would be the maximum of its windows.
    images = -1 - np.random.default_rng(0).random((1, 2, size, size), dtype=np.float32)
    assert_equal_to_torch(make_network_once(spec), images)


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from([1, 3, 5, 7, 9]),
    maps=st.integers(1, 8),
    alpha=st.floats(1e-5, 3),
    beta=st.sampled_from([0.5, 0.75, 1.0]),
    k=st.floats(0.5, 3),
)
def test_normalisation_with_any_constants_equals_torch(
    make_network_once: MakeNetwork, size: int, maps: int, alpha: float, beta: float, k: float
) -> None:
    norm = LocalResponseNorm(name="norm", size=size, alpha=alpha, beta=beta, k=k)
    layers = (norm, Flatten(name="flatten"))
    spec = NetworkSpec(name="norm", input_channels=maps, input_size=2, layers=layers)
    images = np.random.default_rng(0).normal(0, 3, (1, maps, 2, 2)).astype(np.float32)
    assert_equal_to_torch(make_network_once(spec), images)


@pytest.fixture(scope="module")
def make_network_once() -> MakeNetwork:
    """Like `make_network`, for hypothesis, which does not allow function-scoped fixtures."""
    from zfscope.networks import build

    def make(spec: NetworkSpec) -> Network:
        return build(spec, generator=torch.Generator().manual_seed(1)).eval().requires_grad_(False)

    return make


def test_a_graph_is_hardly_larger_than_its_weights(make_network: MakeNetwork) -> None:
    spec = zfnet(classes=10, hidden=32)
    network = make_network(spec)
    parameters = sum(math.prod(parameter.shape) for parameter in network.parameters())
    bands = 96**2 + 256**2  # of normalisation across maps
    assert len(graph_of(network)) < 4 * (parameters + bands) + 20_000
