"""Graphs whose maps have their channels last, as converters of TensorFlow's models write them."""

import numpy as np
import pytest

from tests.support.onnx_graphs import (
    import_graph,
    kinds,
    make_model,
    node,
    random_array,
    read_in_process,
    run_original,
)

TO_FIRST = {"perm": [0, 3, 1, 2]}
TO_LAST = {"perm": [0, 2, 3, 1]}
CONV = node("Conv", ["first", "w"], ["c"], pads=[1, 1, 1, 1])
WEIGHT = {"w": random_array(4, 3, 3, 3)}


def test_an_image_with_channels_last_is_read_with_channels_first() -> None:
    nodes = [node("Transpose", ["image"], ["first"], **TO_FIRST), CONV, node("Relu", ["c"], ["y"])]
    network = import_graph(make_model(nodes, WEIGHT, image=(1, 8, 8, 3)), channels_last=True)
    assert kinds(network) == ["conv", "relu"]
    assert network.shapes["input"] == (3, 8, 8)


@pytest.mark.parametrize("image", [("N", 8, 8, 3), (1, "H", "W", 3), (-1, "?", "?", 1)])
def test_open_sizes_are_set(image: tuple[int | str, ...]) -> None:
    nodes = [node("Transpose", ["image"], ["first"], **TO_FIRST), CONV, node("Relu", ["c"], ["y"])]
    channels = int(image[3])
    model = make_model(nodes, {"w": random_array(4, channels, 3, 3)}, image=image)
    reading = read_in_process(model, size=8)
    assert (reading.spec.input_channels, reading.spec.input_size) == (channels, 8)


def last(nodes: list[object], constants: dict[str, np.ndarray]) -> list[str]:
    """Import a graph that goes on with channels last after a convolution; return the kinds of layers."""
    begin = [
        node("Transpose", ["image"], ["first"], **TO_FIRST),
        CONV,
        node("Transpose", ["c"], ["t"], **TO_LAST),
    ]
    model = make_model([*begin, *nodes], {**WEIGHT, **constants}, image=(1, 8, 8, 3))
    output = model.graph.output[0].name
    theirs = run_original(model, random_array(1, 8, 8, 3), [output])[output]
    if theirs.ndim == 4 and theirs.shape[1:3] != (1, 1):
        back = node("Transpose", [output], ["first again"], **TO_FIRST)
        model = make_model([*begin, *nodes, back], {**WEIGHT, **constants}, image=(1, 8, 8, 3))
    return kinds(import_graph(model, channels_last=True))


def test_values_are_flattened_in_the_order_of_the_graph() -> None:
    nodes = [node("Flatten", ["t"], ["f"]), node("MatMul", ["f", "l"], ["y"])]
    assert last(nodes, {"l": random_array(256, 5)}) == ["conv", "flatten", "linear"]


def test_values_are_reshaped_in_the_order_of_the_graph() -> None:
    nodes = [node("Reshape", ["t", "shape"], ["f"]), node("Gemm", ["f", "l"], ["y"])]
    constants = {"l": random_array(256, 5), "shape": np.array([-1, 256])}
    assert last(nodes, constants) == ["conv", "flatten", "linear"]


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [[1, 2], [-3, -2]])
def test_means_are_taken_over_the_second_and_third_axis(axes: list[int], keep: int) -> None:
    nodes = [node("ReduceMean", ["t"], ["m"], axes=axes, keepdims=keep)]
    nodes += [node("Flatten", ["m"], ["f"]), node("MatMul", ["f", "l"], ["y"])]
    assert last(nodes, {"l": random_array(4, 5)}) == ["conv", "avg_pool", "flatten", "linear"]


def test_maps_are_concatenated_along_the_last_axis() -> None:
    nodes = [
        node("Relu", ["t"], ["r"]),
        node("Tanh", ["t"], ["s"]),
        node("Concat", ["r", "s", "t"], ["y"], axis=3),
    ]
    assert sorted(last(nodes, {})) == ["activation", "concat", "conv", "relu"]


def test_sums_and_products_of_tensors_and_constants_have_the_channels_last() -> None:
    nodes = [
        node("Relu", ["t"], ["r"]),
        node("Add", ["r", "t"], ["a"]),
        node("Mul", ["a", "factor"], ["m"]),
        node("Add", ["m", "shift"], ["s"]),
        node("PRelu", ["s", "slope"], ["y"]),
    ]
    constants = {"factor": random_array(4), "shift": random_array(1, 1, 1, 4), "slope": random_array(1, 1, 4)}
    assert last(nodes, constants) == ["conv", "relu", "add", "scale", "scale", "prelu"]


def test_squeeze_and_excitation_has_the_channels_last() -> None:
    nodes = [
        node("ReduceMean", ["t"], ["m"], axes=[1, 2], keepdims=0),
        node("MatMul", ["m", "down"], ["d"]),
        node("Relu", ["d"], ["r"]),
        node("MatMul", ["r", "up"], ["u"]),
        node("Sigmoid", ["u"], ["g"]),
        node("Reshape", ["g", "shape"], ["s"]),
        node("Mul", ["t", "s"], ["y"]),
    ]
    constants = {
        "down": random_array(4, 2),
        "up": random_array(2, 4),
        "shape": np.array([-1, 1, 1, 4]),
    }
    kinds_read = last(nodes, constants)
    assert kinds_read == ["conv", "avg_pool", "conv", "relu", "conv", "activation", "multiply"]


def test_layers_between_two_transpositions_are_read_with_channels_first() -> None:
    nodes = [
        node("Relu", ["t"], ["r"]),
        node("Transpose", ["r"], ["u"], **TO_FIRST),
        node("MaxPool", ["u"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["p"], ["v"], **TO_LAST),
        node("Flatten", ["v"], ["f"]),
        node("MatMul", ["f", "l"], ["y"]),
    ]
    assert last(nodes, {"l": random_array(64, 3)}) == ["conv", "relu", "max_pool", "flatten", "linear"]
