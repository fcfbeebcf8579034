"""Sums, products and concatenations of ONNX graphs."""

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import NodeProto

from tests.support.onnx_graphs import import_graph, kinds, make_model, node, random_array, read_in_process

# A branch of its own, so that both operands are computed.
BRANCH = node("Conv", ["image", "w"], ["c"])
WEIGHT = {"w": random_array(3, 3, 1, 1)}


@pytest.mark.parametrize("opset", [7, 13, 14])
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Sum"])
@pytest.mark.parametrize("operands", [("image", "c"), ("c", "image"), ("c", "c")])
def test_tensors_are_added_subtracted_and_multiplied(
    operator: str, operands: Sequence[str], opset: int
) -> None:
    if operator == "Sub" and operands == ("c", "c"):
        return  # zero everywhere
    import_graph(make_model([BRANCH, node(operator, operands, ["y"])], WEIGHT, opset=opset))


def test_a_sum_may_have_three_terms() -> None:
    nodes = [BRANCH, node("Relu", ["image"], ["r"]), node("Sum", ["r", "c", "image"], ["y"])]
    import_graph(make_model(nodes, WEIGHT))


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("constant_first", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1, 1), (3, 1, 1), (1, 3, 1, 1)])
def test_constants_are_one_number_or_one_per_map(
    operator: str, constant_first: bool, shape: tuple[int, ...]
) -> None:
    if operator == "Div" and constant_first:
        return  # rejected, see below
    operands = ["k", "c"] if constant_first else ["c", "k"]
    nodes = [BRANCH, node(operator, operands, ["s"]), node("Relu", ["s"], ["y"])]
    constants = {**WEIGHT, "k": np.abs(random_array(*shape)) + 0.5}
    import_graph(make_model(nodes, constants))


@pytest.mark.parametrize("operands", [["k", "image"], ["image", "c"]])
def test_division_by_a_tensor_is_rejected(operands: list[str]) -> None:
    nodes = [BRANCH, node("Div", operands, ["y"], name="ratio")]
    model = make_model(nodes, {**WEIGHT, "k": np.array(1, np.float32)})
    with pytest.raises(ValueError, match=r"^Div 'ratio': division by a tensor is not supported$"):
        read_in_process(model)


@pytest.mark.parametrize("shape", [(3, 8, 8), (8,), (8, 1), (2, 3, 1, 1)])
def test_other_constants_are_rejected(shape: tuple[int, ...]) -> None:
    model = make_model([node("Add", ["image", "k"], ["y"], name="sum")], {"k": random_array(*shape)})
    with pytest.raises(
        ValueError, match=r"^Add 'sum': a constant of shape .* must have one value, or one per"
    ):
        read_in_process(model)


def test_normalising_the_image_inside_the_graph_is_a_scale() -> None:
    nodes = [
        node("Sub", ["image", "mean"], ["s"]),
        node("Div", ["s", "std"], ["d"]),
        node("Relu", ["d"], ["y"]),
    ]
    constants = {"mean": random_array(1, 3, 1, 1), "std": np.abs(random_array(1, 3, 1, 1, seed=1)) + 0.5}
    assert set(kinds(import_graph(make_model(nodes, constants)))) == {"scale", "relu"}


@pytest.mark.parametrize("first", [True, False])
def test_numbers_before_and_after_a_product_are_kept(first: bool) -> None:
    operands = ["d", "c"] if first else ["c", "d"]
    nodes = [
        BRANCH,
        node("Div", ["image", "three"], ["d"]),
        node("Mul", operands, ["m"]),
        node("Add", ["m", "three"], ["a"]),
        node("Mul", ["a", "m"], ["y"]),
    ]
    import_graph(make_model(nodes, {**WEIGHT, "three": np.array(3, np.float32)}))


def test_a_number_that_is_multiplied_and_divided_again_adds_no_layer() -> None:
    nodes = [
        node("Mul", ["image", "six"], ["m"]),
        node("Mul", ["m", "sixth"], ["n"]),
        node("Relu", ["n"], ["y"]),
    ]
    constants = {"six": np.array(6, np.float32), "sixth": np.array(1 / 6, np.float32)}
    network = import_graph(make_model(nodes, constants))
    assert kinds(network)[-1] == "relu"


def test_a_negative_factor_is_kept() -> None:
    nodes = [node("Neg", ["image"], ["n"]), node("Relu", ["n"], ["y"])]
    import_graph(make_model(nodes))


@pytest.mark.parametrize("axis", [1, -3])
def test_maps_are_concatenated(axis: int) -> None:
    nodes = [BRANCH, node("Concat", ["image", "c", "image"], ["y"], axis=axis)]
    assert kinds(import_graph(make_model(nodes, WEIGHT))) == ["conv", "concat"]


def test_a_concatenation_is_merged_into_the_only_one_that_reads_it() -> None:
    nodes = [
        BRANCH,
        node("Concat", ["image", "c"], ["inner"], axis=1),
        node("Concat", ["inner", "image"], ["middle"], axis=1),
        node("Concat", ["c", "middle", "c"], ["y"], axis=1),
    ]
    network = import_graph(make_model(nodes, WEIGHT))
    assert [layer.inputs for layer in network.spec.layers] == [(), ("c", "input", "c", "input", "c")]


@pytest.mark.parametrize(
    "readers",
    [
        [node("Concat", ["inner", "inner"], ["y"], axis=1)],
        [node("Relu", ["inner"], ["r"]), node("Concat", ["inner", "r"], ["y"], axis=1)],
        [node("Concat", ["inner", "c"], ["r"], axis=1), node("Concat", ["inner", "r"], ["y"], axis=1)],
    ],
)
def test_a_concatenation_that_others_read_too_stays(readers: list[NodeProto]) -> None:
    nodes = [BRANCH, node("Concat", ["image", "c"], ["inner"], axis=1), *readers]
    network = import_graph(make_model(nodes, WEIGHT))
    assert network.spec.layers[1].inputs == ("input", "c")
    assert "inner" in network.spec.layers[-1].inputs


def test_a_concatenation_that_is_an_output_stays() -> None:
    nodes = [
        BRANCH,
        node("Concat", ["image", "c"], ["inner"], axis=1),
        node("Concat", ["inner", "c"], ["y"], axis=1),
    ]
    model = make_model(nodes, WEIGHT, outputs=["inner", "y"])
    layers = read_in_process(model, output="y").spec.layers
    assert [layer.inputs for layer in layers] == [(), ("input", "c"), ("inner", "c")]


def test_vectors_are_concatenated() -> None:
    nodes = [
        node("Flatten", ["image"], ["f"]),
        node("MatMul", ["f", "l"], ["m"]),
        node("Concat", ["m", "f", "m"], ["y"], axis=1),
    ]
    import_graph(make_model(nodes, {"l": random_array(192, 4)}))


@pytest.mark.parametrize("axis", [0, 2, 3])
def test_other_concatenations_are_rejected(axis: int) -> None:
    model = make_model([node("Concat", ["image", "image"], ["y"], name="cat", axis=axis)])
    with pytest.raises(ValueError, match=f"^Concat 'cat': only maps can be concatenated, not axis {axis}$"):
        read_in_process(model)


def test_a_constant_cannot_be_concatenated() -> None:
    model = make_model(
        [node("Concat", ["image", "k"], ["y"], name="cat", axis=1)], {"k": random_array(1, 2, 8, 8)}
    )
    with pytest.raises(ValueError, match=r"^Concat 'cat': input 1 is constant or missing"):
        read_in_process(model)


def squeeze_and_excitation(form: str) -> tuple[list[object], dict[str, np.ndarray]]:
    """Return the nodes from the maps 'image' to the factors 'g', (1, 3, 1, 1)."""
    first, second = random_array(2, 3, 1, 1), random_array(3, 2, 1, 1)
    pool = node("GlobalAveragePool", ["image"], ["p"])
    mean = node("ReduceMean", ["image"], ["p"], axes=[2, 3], keepdims=0)
    activation, gate = node("Relu", ["a"], ["r"]), node("Sigmoid", ["b"], ["g"])
    axes = {"axes": np.array([2, 3])}
    matrices = {"w1": first[:, :, 0, 0].T.copy(), "w2": second[:, :, 0, 0].T.copy()}
    products = [node("MatMul", ["v", "w1"], ["a"]), activation, node("MatMul", ["r", "w2"], ["u"])]
    shape = {"shape": np.array([-1, 3, 1, 1])}
    match form:
        case "convolutions":
            convolutions = [node("Conv", ["p", "w1"], ["a"]), activation, node("Conv", ["r", "w2"], ["b"])]
            return [pool, *convolutions, gate], {"w1": first, "w2": second}
        case "mean and convolutions":
            unsqueezed = [mean, node("Unsqueeze", ["p", "axes"], ["v"])]
            convolutions = [node("Conv", ["v", "w1"], ["a"]), activation, node("Conv", ["r", "w2"], ["b"])]
            return [*unsqueezed, *convolutions, gate], {"w1": first, "w2": second, **axes}
        case "products and reshape":
            nodes = [pool, node("Flatten", ["p"], ["v"]), *products, node("Reshape", ["u", "shape"], ["b"])]
            return [*nodes, gate], {**matrices, **shape}
        case "mean, products and unsqueeze":
            mean = node("ReduceMean", ["image"], ["v"], axes=[2, 3], keepdims=0)
            return [mean, *products, node("Unsqueeze", ["u", "axes"], ["b"]), gate], {**matrices, **axes}
        case "gate before the reshape":
            gated = [node("Sigmoid", ["u"], ["s"]), node("Reshape", ["s", "shape"], ["g"])]
            return [pool, node("Flatten", ["p"], ["v"]), *products, *gated], {**matrices, **shape}
        case "hard sigmoid by clipping":
            gated = [
                node("Add", ["b", "three"], ["t"]),
                node("Clip", ["t", "zero", "six"], ["k"]),
                node("Div", ["k", "six"], ["g"]),
            ]
            numbers = {k: np.array(v, np.float32) for k, v in (("zero", 0), ("three", 3), ("six", 6))}
            convolutions = [node("Conv", ["p", "w1"], ["a"]), activation, node("Conv", ["r", "w2"], ["b"])]
            return [pool, *convolutions, *gated], {"w1": first, "w2": second, **numbers}
        case "pooling window of whole maps":
            pool = node("AveragePool", ["image"], ["p"], kernel_shape=[8, 8])
            convolutions = [node("Conv", ["p", "w1"], ["a"]), activation, node("Conv", ["r", "w2"], ["b"])]
            return [pool, *convolutions, gate], {"w1": first, "w2": second}
        case _:
            raise AssertionError(form)


@pytest.mark.parametrize(
    "form",
    [
        "convolutions",
        "mean and convolutions",
        "products and reshape",
        "mean, products and unsqueeze",
        "gate before the reshape",
        "hard sigmoid by clipping",
        "pooling window of whole maps",
    ],
)
@pytest.mark.parametrize("gate_first", [False, True])
def test_squeeze_and_excitation_is_read_in_every_form(form: str, gate_first: bool) -> None:
    nodes, constants = squeeze_and_excitation(form)
    product = node("Mul", ["g", "image"] if gate_first else ["image", "g"], ["y"])
    network = import_graph(make_model([*nodes, product], constants))
    assert kinds(network) == ["avg_pool", "conv", "relu", "conv", "activation", "multiply"]


def test_a_factor_per_position_is_a_product() -> None:
    """Spatial attention: one map of factors for all maps."""
    nodes = [node("Conv", ["image", "w"], ["c"]), node("Mul", ["image", "c"], ["y"])]
    assert kinds(import_graph(make_model(nodes, {"w": random_array(1, 3, 1, 1)}))) == ["conv", "multiply"]


def test_adding_one_map_to_all_is_rejected() -> None:
    nodes = [node("Conv", ["image", "w"], ["c"]), node("Add", ["image", "c"], ["y"], name="sum")]
    model = make_model(nodes, {"w": random_array(1, 3, 1, 1)})
    with pytest.raises(ValueError, match=r"^Add 'sum': reads .* it needs inputs of equal shape$"):
        read_in_process(model)
