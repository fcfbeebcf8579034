"""Fully connected layers of ONNX graphs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.onnx_graphs import import_graph, kinds, make_model, node, random_array, read_in_process

FLAT = node("Flatten", ["image"], ["f"])


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 21])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 3.0), (2.0, 0.0)])
@pytest.mark.parametrize("bias", [(5,), (1, 5), (1,), ()])
def test_gemm_is_a_linear_layer(
    opset: int, transposed: int, alpha: float, beta: float, bias: tuple[int, ...]
) -> None:
    weight = random_array(48, 5)
    constants = {"w": weight.T if transposed else weight, "b": random_array(*bias)}
    gemm = node("Gemm", ["f", "w", "b"], ["y"], transB=transposed, alpha=alpha, beta=beta)
    model = make_model([FLAT, gemm], constants, image=(1, 3, 4, 4), opset=opset)
    assert kinds(import_graph(model)) == ["flatten", "linear"]


def test_gemm_may_lack_a_bias() -> None:
    model = make_model(
        [FLAT, node("Gemm", ["f", "w"], ["y"])], {"w": random_array(48, 5)}, image=(1, 3, 4, 4), opset=11
    )
    network = import_graph(model)
    assert network.weights("y")[1] is None


@pytest.mark.parametrize("bias_first", [False, True])
def test_a_product_and_a_sum_are_a_linear_layer(bias_first: bool) -> None:
    operands = ["b", "p"] if bias_first else ["p", "b"]
    nodes = [FLAT, node("MatMul", ["f", "w"], ["p"]), node("Add", operands, ["y"])]
    constants = {"w": random_array(48, 5), "b": random_array(5)}
    network = import_graph(make_model(nodes, constants, image=(1, 3, 4, 4)))
    assert kinds(network)[:2] == ["flatten", "linear"]


def test_a_product_without_a_sum_is_a_linear_layer_without_biases() -> None:
    nodes = [FLAT, node("MatMul", ["f", "w"], ["y"])]
    network = import_graph(make_model(nodes, {"w": random_array(48, 5)}, image=(1, 3, 4, 4)))
    assert kinds(network) == ["flatten", "linear"]
    assert network.weights("y")[1] is None


@settings(max_examples=20)
@given(order=st.permutations([1, 2, 3]))
def test_values_in_any_order_are_multiplied_by_reordered_columns(order: list[int]) -> None:
    nodes = [
        node("Transpose", ["image"], ["t"], perm=[0, *order]),
        node("Flatten", ["t"], ["f"]),
        node("Gemm", ["f", "w"], ["y"]),
    ]
    network = import_graph(make_model(nodes, {"w": random_array(75, 4)}, image=(1, 3, 5, 5), opset=11))
    assert kinds(network) == ["flatten", "linear"]


def test_a_part_of_the_values_may_be_multiplied() -> None:
    nodes = [
        FLAT,
        node("Slice", ["f", "starts", "ends", "axes", "steps"], ["s"]),
        node("Gemm", ["s", "w"], ["y"]),
    ]
    parts = {"starts": [40], "ends": [3], "axes": [1], "steps": [-2]}
    constants = {name: np.array(values) for name, values in parts.items()} | {"w": random_array(19, 4)}
    import_graph(make_model(nodes, constants, image=(1, 3, 4, 4)))


def test_values_that_appear_twice_are_multiplied_by_the_sum_of_their_columns() -> None:
    nodes = [FLAT, node("Concat", ["f", "f"], ["c"], axis=1), node("Gemm", ["c", "w"], ["y"])]
    import_graph(make_model(nodes, {"w": random_array(96, 4)}, image=(1, 3, 4, 4), opset=11))


def test_convolutions_of_one_position_stay_convolutions() -> None:
    nodes = [node("GlobalAveragePool", ["image"], ["p"]), node("Conv", ["p", "w"], ["y"])]
    network = import_graph(make_model(nodes, {"w": random_array(4, 3, 1, 1)}))
    assert kinds(network) == ["avg_pool", "conv", "flatten"]


@pytest.mark.parametrize(
    ("operator", "inputs", "constants", "image"),
    [
        ("MatMul", ["image", "w"], {"w": random_array(8, 5)}, (1, 3, 8, 8)),
        ("MatMul", ["w", "f"], {"w": random_array(5, 1)}, (1, 1, 4, 4)),
        ("MatMul", ["f", "f"], {}, (1, 1, 1, 1)),
        ("Gemm", ["f", "w"], {"w": random_array(1, 5)}, (1, 1, 4, 4)),
    ],
)
def test_other_products_are_rejected(
    operator: str, inputs: list[str], constants: dict[str, np.ndarray], image: tuple[int, ...]
) -> None:
    fields = {"transA": 1} if operator == "Gemm" else {}
    nodes = [FLAT, node(operator, inputs, ["y"], name="product", **fields)]
    with pytest.raises(ValueError, match=f"^{operator} 'product': "):
        read_in_process(make_model(nodes, constants, image=image, opset=11))
