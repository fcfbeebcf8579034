"""Activations of ONNX graphs, and the sequences of operators that exporters write them as."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.support.onnx_graphs import import_graph, kinds, make_model, node, random_array, read_in_process
from zfscope.networks.layers import Activation, Clip


@pytest.mark.parametrize("opset", [7, 11, 14, 22])
@pytest.mark.parametrize(
    ("operator", "fields", "function"),
    [
        ("LeakyRelu", {}, "leaky_relu"),
        ("LeakyRelu", {"alpha": 0.2}, "leaky_relu"),
        ("Elu", {}, "elu"),
        ("Elu", {"alpha": 0.7}, "elu"),
        ("Selu", {}, "selu"),
        ("Tanh", {}, "tanh"),
        ("Sigmoid", {}, "sigmoid"),
        ("HardSigmoid", {}, "hard_sigmoid"),
        ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.4}, "hard_sigmoid"),
        ("Softplus", {}, "softplus"),
    ],
)
def test_activations_are_read_from_any_opset(
    operator: str, fields: Mapping[str, float], function: str, opset: int
) -> None:
    network = import_graph(make_model([node(operator, ["image"], ["y"], **fields)], opset=opset))
    (layer, _) = (*network.spec.layers, None)
    assert isinstance(layer, Activation)
    assert layer.function == function


def test_gelu_is_exact() -> None:
    network = import_graph(make_model([node("Gelu", ["image"], ["y"])], opset=20))
    assert kinds(network) == ["activation"]
    model = make_model([node("Gelu", ["image"], ["y"], name="act", approximate="tanh")], opset=20)
    with pytest.raises(
        ValueError, match=r"^Gelu 'act': only the exact form of Gelu is supported, approximate='none'$"
    ):
        read_in_process(model)


@pytest.mark.parametrize("opset", [7, 10, 11, 12, 13, 21])
@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(0, 6, Clip), (0, None, None), (-1, 1, Clip), (None, 2, Clip), (0.5, None, Clip)],
)
def test_clipping_is_read_from_any_opset(
    opset: int, low: float | None, high: float | None, kind: type[Clip] | None
) -> None:
    bounds = {name: None if v is None else float(v) for name, v in (("min", low), ("max", high))}
    if opset < 11:
        model = make_model([node("Clip", ["image"], ["y"], **bounds)], opset=opset)
    else:
        names = [name if value is not None else "" for name, value in bounds.items()]
        constants = {k: np.array(v, np.float32) for k, v in bounds.items() if v is not None}
        model = make_model([node("Clip", ["image", *names], ["y"])], constants, opset=opset)
    network = import_graph(model)
    if kind is None:
        assert kinds(network) == ["relu"]
    else:
        assert network.spec.layers == (Clip(name="y", low=low, high=high),)


def test_the_largest_numbers_are_no_bounds_of_clipping() -> None:
    largest = float(np.finfo(np.float32).max)
    model = make_model([node("Clip", ["image"], ["y"], min=0.0, max=largest)], opset=7)
    assert kinds(import_graph(model)) == ["relu"]


@pytest.mark.parametrize("opset", [7, 9, 16])
@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 3, 1, 1), (1,), (1, 1, 1), ()])
def test_the_slope_of_prelu_is_one_number_or_one_per_map(shape: tuple[int, ...], opset: int) -> None:
    model = make_model([node("PRelu", ["image", "s"], ["y"])], {"s": random_array(*shape)}, opset=opset)
    assert kinds(import_graph(model)) == ["prelu"]


def test_the_slope_of_prelu_may_be_one_per_unit() -> None:
    nodes = [
        node("Flatten", ["image"], ["f"]),
        node("MatMul", ["f", "w"], ["m"]),
        node("PRelu", ["m", "s"], ["y"]),
    ]
    constants = {"w": random_array(192, 4), "s": random_array(4)}
    assert kinds(import_graph(make_model(nodes, constants))) == ["flatten", "linear", "prelu"]


def test_a_slope_per_position_is_rejected() -> None:
    model = make_model([node("PRelu", ["image", "s"], ["y"], name="act")], {"s": random_array(3, 8, 8)})
    expected = (
        r"^PRelu 'act': a constant of shape \(3, 8, 8\) with a tensor of shape \(1, 3, 8, 8\) is not "
        "supported: it must have one value, or one per map$"
    )
    with pytest.raises(ValueError, match=expected):
        read_in_process(model)


def hard_swish_forms() -> Mapping[str, tuple[list[Any], Mapping[str, Any], int]]:
    three, six, sixth = (np.array(value, np.float32) for value in (3, 6, 1 / 6))
    clip = node("Clip", ["a", "zero", "six"], ["c"])
    bounds = {"three": three, "six": six, "zero": np.array(0, np.float32)}
    return {
        "operator": ([node("HardSwish", ["image"], ["y"])], {}, 14),
        "hard sigmoid": (
            [
                node("HardSigmoid", ["image"], ["h"], alpha=1 / 6, beta=0.5),
                node("Mul", ["image", "h"], ["y"]),
            ],
            {},
            9,
        ),
        "clip, product, quotient": (
            [
                node("Add", ["image", "three"], ["a"]),
                clip,
                node("Mul", ["image", "c"], ["m"]),
                node("Div", ["m", "six"], ["y"]),
            ],
            bounds,
            13,
        ),
        "clip, quotient, product": (
            [
                node("Add", ["three", "image"], ["a"]),
                clip,
                node("Div", ["c", "six"], ["d"]),
                node("Mul", ["d", "image"], ["y"]),
            ],
            bounds,
            13,
        ),
        "clip, factor, product": (
            [
                node("Add", ["image", "three"], ["a"]),
                clip,
                node("Mul", ["c", "sixth"], ["d"]),
                node("Mul", ["image", "d"], ["y"]),
            ],
            {**bounds, "sixth": sixth},
            13,
        ),
        "ReLU6 of Keras": (
            [
                node("Add", ["image", "three"], ["a"]),
                node("Relu", ["a"], ["r"]),
                node("Min", ["r", "six"], ["c"]),
                node("Mul", ["c", "sixth"], ["d"]),
                node("Mul", ["image", "d"], ["y"]),
            ],
            {"three": three, "six": six, "sixth": sixth},
            13,
        ),
    }


@pytest.mark.parametrize("form", list(hard_swish_forms()))
def test_hard_swish_is_read_in_every_form(form: str) -> None:
    nodes, constants, opset = hard_swish_forms()[form]
    import_graph(make_model(nodes, constants, opset=opset))


@pytest.mark.parametrize(
    "form", ["clip, product, quotient", "clip, quotient, product", "clip, factor, product"]
)
def test_hard_swish_by_clipping_is_a_hard_sigmoid_and_a_product(form: str) -> None:
    """Not a layer for each of the sum, the clipping and the quotient."""
    nodes, constants, opset = hard_swish_forms()[form]
    network = import_graph(make_model(nodes, constants, opset=opset))
    assert kinds(network)[:2] == ["activation", "multiply"]


def test_swish_is_a_sigmoid_and_a_product() -> None:
    nodes = [node("Sigmoid", ["image"], ["s"]), node("Mul", ["image", "s"], ["y"])]
    assert kinds(import_graph(make_model(nodes))) == ["activation", "multiply"]


@pytest.mark.parametrize(
    ("operator", "bound", "kind"),
    [("Max", 0.0, "relu"), ("Min", 1.0, "clip"), ("Max", -0.5, "clip")],
)
@pytest.mark.parametrize("bound_first", [False, True])
def test_a_maximum_or_minimum_with_a_number_is_clipping(
    operator: str, bound: float, kind: str, bound_first: bool
) -> None:
    operands = ["bound", "image"] if bound_first else ["image", "bound"]
    model = make_model([node(operator, operands, ["y"])], {"bound": np.array(bound, np.float32)}, opset=12)
    assert kinds(import_graph(model)) == [kind]


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16])
def test_activations_in_half_precision_are_read_in_float32(dtype: int) -> None:
    nodes = [
        node("Conv", ["image", "w"], ["c"]),
        node("Clip", ["c", "zero", "six"], ["k"]),
        node("Cast", ["k"], ["f"], to=dtype),
        node("GlobalAveragePool", ["f"], ["y"]),
    ]
    constants = {
        "w": random_array(4, 3, 3, 3).astype(np.float16),
        "zero": np.array(0, np.float16),
        "six": np.array(6, np.float16),
    }
    reading = read_in_process(make_model(nodes, constants, dtype=dtype))
    assert [layer.kind for layer in reading.spec.layers] == ["conv", "clip", "avg_pool", "flatten"]
    assert {str(array.dtype) for array in reading.weights.values()} == {"float32"}
