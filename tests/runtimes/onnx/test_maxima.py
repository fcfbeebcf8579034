"""Graphs of map maxima: only the layers needed, and only maxima as outputs."""

import math
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zfscope.networks import Network, NetworkSpec
from zfscope.networks.layers import Add, Conv, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.networks.windows import Padding
from zfscope.runtimes.onnx.maxima import onnx_maxima_graph

MakeNetwork = Callable[[NetworkSpec], Network]

BRANCHES = NetworkSpec(
    name="branches",
    input_size=12,
    layers=(
        Conv(name="conv1", channels=4, kernel=3, padding=Padding(2, 0, 1, 0)),  # maps of 13 x 10
        ReLU(name="relu1"),
        LocalResponseNorm(name="norm1", size=3),
        Conv(name="left", channels=3, kernel=1, inputs=("norm1",)),
        Conv(name="right", channels=3, kernel=1, inputs=("relu1",)),
        Add(name="sum", inputs=("left", "right")),
        MaxPool(name="pool", kernel=2, stride=2),
        Flatten(name="flatten"),
        Linear(name="fc1", units=5),
        ReLU(name="relu2"),
        Linear(name="fc2", units=2),
    ),
)


def graph_of(network: Network, layers: tuple[str, ...], *, sums: bool = False) -> onnx.GraphProto:
    weights = {name: tensor.numpy() for name, tensor in network.layers.state_dict().items()}
    model = onnx.load_from_string(onnx_maxima_graph(network.spec, weights, layers, sums=sums))
    onnx.checker.check_model(model, full_check=True)
    return model.graph


def test_weights_of_layers_that_are_not_needed_are_left_out(make_network: MakeNetwork) -> None:
    graph = graph_of(make_network(BRANCHES), ("right",))
    weights = {"conv1.weight", "conv1.bias", "right.weight", "right.bias"}
    assert {array.name for array in graph.initializer} == weights


def test_the_outputs_are_the_maxima_only(make_network: MakeNetwork) -> None:
    graph = graph_of(make_network(BRANCHES), ("conv1", "fc1"), sums=True)
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in graph.output
    }
    assert axes == {
        "conv1/value": ["N", 4],
        "conv1/place": ["N", 4],
        "conv1/sum": ["N", 4],
        "fc1/value": ["N", 5],
    }


def test_sums_are_computed_only_on_request(make_network: MakeNetwork) -> None:
    graph = graph_of(make_network(BRANCHES), ("conv1",))
    assert [value.name for value in graph.output] == ["conv1/value", "conv1/place"]
    assert "ReduceSum" not in {node.op_type for node in graph.node}


IDENTITY = NetworkSpec(
    name="identity", input_channels=2, input_size=9, layers=(Conv(name="conv", channels=2, kernel=1),)
)


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    """Computes the maxima of the images themselves: of a convolution that is the identity."""
    weights = {
        "conv.weight": np.eye(2, dtype=np.float32)[..., None, None],
        "conv.bias": np.zeros(2, np.float32),
    }
    graph = onnx_maxima_graph(IDENTITY, weights, ("conv",), sums=True)
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


LEVELS = np.array([-2.0, -1.0, -0.0, 0.0, 1.0], np.float32)
SHAPE = (2, 2, 9, 9)


# All pixels are drawn at once as bytes: 20 times as fast as one draw per pixel.
@settings(max_examples=200)
@given(drawn=st.binary(min_size=math.prod(SHAPE), max_size=math.prod(SHAPE)))
def test_ties_resolve_to_the_first_in_row_major_order(
    session: onnxruntime.InferenceSession, drawn: bytes
) -> None:
    images = LEVELS[np.frombuffer(drawn, np.uint8) % len(LEVELS)].reshape(SHAPE)
    value, place, total = session.run(None, {"input": images})
    flat = images.reshape(2, 2, 81)
    np.testing.assert_array_equal(value, flat.max(2))
    np.testing.assert_array_equal(place, flat.argmax(2))
    np.testing.assert_array_equal(total, flat.sum(2))


@pytest.mark.parametrize("level", [0, -1.5, 3])
def test_a_constant_map_has_its_maximum_at_index_0(
    session: onnxruntime.InferenceSession, level: float
) -> None:
    value, place, _ = session.run(None, {"input": np.full((1, 2, 9, 9), level, np.float32)})
    assert (value == level).all()
    assert (place == 0).all()
