"""Inputs and outputs of ONNX graphs: sizes, channels, precision, class scores."""

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from tests.support.onnx_graphs import (
    assert_close,
    import_graph,
    kinds,
    make_model,
    node,
    random_array,
    read_in_process,
    run_original,
    traced,
)
from zfscope.networks.network import network_with_weights

CLASSIFIER = (
    node("Conv", ["image", "w"], ["c"]),
    node("GlobalAveragePool", ["c"], ["p"]),
    node("Flatten", ["p"], ["f"]),
    node("MatMul", ["f", "l"], ["scores"]),
)


def weights(channels: int = 3, dtype: type = np.float32) -> dict[str, np.ndarray]:
    return {
        "w": random_array(4, channels, 3, 3).astype(dtype),
        "l": random_array(4, 5).astype(dtype),
    }


def classifier(**fields: object) -> ModelProto:
    return make_model(CLASSIFIER, weights(), **fields)  # type: ignore[arg-type]  # any of its options


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("batch", [1, 4, "N", -1])
def test_images_have_one_or_three_channels_and_any_batch(channels: int, batch: int | str) -> None:
    model = make_model(CLASSIFIER, weights(channels), image=(batch, channels, 16, 16))
    reading = read_in_process(model)
    assert (reading.spec.input_channels, reading.spec.input_size) == (channels, 16)


@pytest.mark.parametrize("size", [8, 96, 512])
def test_an_open_size_is_set_by_the_caller(size: int) -> None:
    assert read_in_process(classifier(image=("N", 3, "H", "W")), size=size).spec.input_size == size


@pytest.mark.parametrize(
    ("image", "size", "message"),
    [
        (("N", 3, "H", "W"), None, r"input 'image' is of any size, \(N, 3, H, W\); set one with --size"),
        ((1, 3, 32, "W"), None, r"input 'image' is of any size, \(1, 3, 32, W\); set one with --size"),
        (
            (1, 3, 32, 40),
            None,
            "input 'image' is 32 x 40 pixels; it must be square: export the model for square",
        ),
        (
            (1, 3, 32, 32),
            64,
            "input 'image' is 32 x 32 pixels, not 64 x 64: omit --size, or export the model",
        ),
        (
            (1, 5, 32, 32),
            None,
            r"input 'image' has no axis of 1 or 3 channels: it is \(1, 5, 32, 32\); only networks",
        ),
        (("N", "C", "H", "W"), 8, r"input 'image' has no axis of 1 or 3 channels: it is \(N, C, H, W\)"),
        ((1, 3, 32), None, "input 'image' has 3 axes; it must have 4"),
        ((1, 3, 4, 32, 32), None, "input 'image' has 5 axes; it must have 4"),
    ],
)
def test_other_inputs_are_rejected(image: tuple[int | str, ...], size: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_in_process(classifier(image=image), size=size)


def test_an_input_without_a_shape_is_rejected() -> None:
    model = classifier()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ValueError, match="input 'image' has 0 axes; it must have 4"):
        read_in_process(model)


def test_constants_may_be_declared_as_inputs() -> None:
    """As exporters did up to IR version 3."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        for name, array in weights().items()
    ]
    import_graph(make_model(CLASSIFIER, weights(), inputs=inputs))


def test_two_inputs_are_rejected() -> None:
    inputs = [helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 5])]
    nodes = [*CLASSIFIER, node("Add", ["scores", "mask"], ["y"])]
    model = make_model(nodes, weights(), inputs=inputs)
    with pytest.raises(ValueError, match=r"has 2 inputs \('image', 'mask'\); export the model with one"):
        read_in_process(model)


def test_a_graph_without_an_input_is_rejected() -> None:
    model = make_model([node("Relu", ["k"], ["y"])], {"k": random_array(1, 3, 8, 8)})
    del model.graph.input[:]
    with pytest.raises(
        ValueError, match=r"the graph has no input; export the model with one, a batch of images"
    ):
        read_in_process(model)


def test_an_output_that_does_not_depend_on_the_image_is_rejected() -> None:
    model = make_model([node("Relu", ["k"], ["y"])], {"k": random_array(1, 3, 8, 8)})
    with pytest.raises(ValueError, match="output 'y' does not depend on the image"):
        read_in_process(model)


@pytest.mark.parametrize("image", [(1, 3, 8, 8)])
def test_half_precision_is_read_in_float32(image: tuple[int, ...]) -> None:
    model = make_model(CLASSIFIER, weights(dtype=np.float16), image=image, dtype=TensorProto.FLOAT16)
    reading = read_in_process(model)
    network = network_with_weights(reading.spec, reading.weights)
    ours = traced(network).outputs["scores"].numpy()
    theirs = run_original(model, random_array(1, 3, 8, 8, seed=1), ["scores"])["scores"]
    assert_close(ours, theirs, tolerance=1e-2)
    assert_close(reading.weights["c.weight"], weights(dtype=np.float16)["w"], tolerance=0)


def test_half_precision_between_casts_is_read_in_float32() -> None:
    nodes = [
        node("Cast", ["image"], ["h"], to=TensorProto.FLOAT16),
        node("Conv", ["h", "w"], ["c"]),
        node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    reading = read_in_process(make_model(nodes, {"w": random_array(4, 3, 3, 3).astype(np.float16)}))
    assert [layer.kind for layer in reading.spec.layers] == ["conv"]


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [7, 12, 13, 21])
def test_class_scores_are_found_before_a_softmax(operator: str, opset: int) -> None:
    end = node(operator, ["scores"], ["probabilities"], axis=1)
    network = import_graph(make_model([*CLASSIFIER, end], weights(), opset=opset), expected="scores")
    assert kinds(network) == ["conv", "avg_pool", "flatten", "linear"]


@pytest.mark.parametrize(
    "end",
    [
        [node("Identity", ["scores"], ["y"])],
        [node("Softmax", ["scores"], ["s"]), node("Identity", ["s"], ["y"])],
        [node("Softmax", ["scores"], ["s"]), node("Reshape", ["s", "shape"], ["y"])],
        [node("Reshape", ["scores", "shape"], ["s"]), node("Softmax", ["s"], ["y"])],
        [node("Softmax", ["scores"], ["s"]), node("Flatten", ["s"], ["y"])],
    ],
)
def test_class_scores_are_found_before_operators_that_keep_them(end: list[object]) -> None:
    model = make_model([*CLASSIFIER, *end], {**weights(), "shape": np.array([1, 5])})
    network = import_graph(model, expected="scores")
    assert kinds(network) == ["conv", "avg_pool", "flatten", "linear"]


def test_a_softmax_inside_the_network_is_rejected() -> None:
    nodes = [node("Softmax", ["image"], ["s"], axis=1, name="attention"), node("Relu", ["s"], ["y"])]
    with pytest.raises(ValueError, match=r"^Softmax 'attention': this operator is not supported"):
        read_in_process(make_model(nodes))


def test_scores_of_whole_maps_are_class_scores() -> None:
    """As SqueezeNet has them: its last layer is a mean of maps."""
    nodes = [node("Conv", ["image", "w"], ["c"]), node("GlobalAveragePool", ["c"], ["y"])]
    network = import_graph(make_model(nodes, {"w": random_array(4, 3, 3, 3)}))
    assert network.shapes[network.spec.layers[-1].name] == (4,)


def test_a_network_may_end_in_maps() -> None:
    network = import_graph(make_model([CLASSIFIER[0]], weights()))
    assert network.shapes["c"] == (4, 6, 6)


def test_one_of_several_outputs_is_chosen_by_name() -> None:
    model = classifier(outputs=["scores", "c"])
    expected = r"the graph has several outputs \(scores, c\); choose one with --output"
    with pytest.raises(ValueError, match=expected):
        read_in_process(model)
    assert [layer.kind for layer in read_in_process(model, output="c").spec.layers] == ["conv"]
    assert read_in_process(model, output="scores").spec.layers[-1].kind == "linear"
    with pytest.raises(ValueError, match="output 'logits' not found; available: scores, c"):
        read_in_process(model, output="logits")


def test_nodes_that_the_output_does_not_depend_on_are_ignored() -> None:
    nodes = [*CLASSIFIER, node("Softplus", ["c"], ["extra"]), node("Det", ["c"], ["unsupported"])]
    model = make_model(nodes, weights(), outputs=["scores", "unsupported"])
    assert len(read_in_process(model, output="scores").spec.layers) == 4


def test_dropout_is_left_out() -> None:
    nodes = [
        node("Relu", ["image"], ["r"]),
        node("Dropout", ["r"], ["d"]),
        node("Identity", ["d"], ["i"]),
        node("GlobalAveragePool", ["i"], ["y"]),
    ]
    assert kinds(import_graph(make_model(nodes, opset=12))) == ["relu", "avg_pool", "flatten"]
