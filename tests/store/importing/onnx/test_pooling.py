"""Pooling and reductions of ONNX graphs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.onnx_graphs import import_graph, kinds, make_model, node, random_array, read_in_process


@settings(max_examples=60)
@given(
    operator=st.sampled_from(["MaxPool", "AveragePool"]),
    kernel=st.tuples(st.integers(2, 3), st.integers(2, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 1)] * 4),
    ceil=st.integers(0, 1),
    included=st.integers(0, 1),
)
def test_windows_strides_pads_and_rounding_are_read(
    operator: str,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, ...],
    ceil: int,
    included: int,
) -> None:
    fields = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": ceil}
    if operator == "AveragePool":
        fields["count_include_pad"] = included
    import_graph(make_model([node(operator, ["image"], ["y"], **fields)], image=(1, 3, 11, 11), opset=19))


@pytest.mark.parametrize("opset", [7, 8, 10, 11, 12, 19, 22])
@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"])
def test_pooling_is_read_from_any_opset(operator: str, opset: int) -> None:
    fields = {} if operator.startswith("Global") else {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}
    import_graph(make_model([node(operator, ["image"], ["y"], **fields)], opset=opset))


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("included", [0, 1])
def test_average_pooling_pads_automatically(mode: str, included: int) -> None:
    fields = {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": mode, "count_include_pad": included}
    import_graph(make_model([node("AveragePool", ["image"], ["y"], **fields)], image=(1, 3, 9, 9)))


def test_max_pooling_may_be_dilated() -> None:
    fields = {"kernel_shape": [2, 3], "dilations": [3, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}
    import_graph(make_model([node("MaxPool", ["image"], ["y"], **fields)], image=(1, 3, 12, 12)))


@pytest.mark.parametrize("opset", [7, 13, 18, 21])
@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax"])
@pytest.mark.parametrize("axes", [(2, 3), (3, 2), (-1, -2), (2, -1)])
@pytest.mark.parametrize("keep", [0, 1, None])
def test_reductions_over_rows_and_columns_are_pooling_of_whole_maps(
    operator: str, opset: int, axes: tuple[int, ...], keep: int | None
) -> None:
    as_input = opset >= 18
    fields = ({} if keep is None else {"keepdims": keep}) | ({} if as_input else {"axes": axes})
    reduce = node(operator, ["image", "axes"] if as_input else ["image"], ["m"], **fields)
    constants = {"l": random_array(3, 5)} | ({"axes": np.array(axes)} if as_input else {})
    flat = [] if keep == 0 else [node("Flatten", ["m"], ["f"])]
    nodes = [reduce, *flat, node("MatMul", ["f" if flat else "m", "l"], ["y"])]
    network = import_graph(make_model(nodes, constants, opset=opset))
    assert kinds(network) == [
        "avg_pool" if operator == "ReduceMean" else "max_pool",
        "flatten",
        "linear",
    ]


@pytest.mark.parametrize("axes", [[1], [0, 2, 3], [2], [1, 2, 3]])
def test_other_reductions_are_rejected(axes: list[int]) -> None:
    model = make_model([node("ReduceMean", ["image"], ["y"], name="mean", axes=axes)])
    expected = "^ReduceMean 'mean': only reductions over rows and columns are supported, not over axes "
    with pytest.raises(ValueError, match=expected):
        read_in_process(model)


def test_the_positions_of_maxima_are_rejected_if_they_are_used() -> None:
    nodes = [
        node("MaxPool", ["image"], ["m", "i"], name="pool", kernel_shape=[2, 2]),
        node("Cast", ["i"], ["f"], to=1),
        node("Add", ["m", "f"], ["y"]),
    ]
    with pytest.raises(ValueError, match=r"^MaxPool 'pool': its second output, the positions of the maxima"):
        read_in_process(make_model(nodes))


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_a_window_larger_than_the_image_is_rejected(operator: str) -> None:
    model = make_model([node(operator, ["image"], ["y"], name="pool", kernel_shape=[9, 2])])
    with pytest.raises(ValueError, match=r"reads \(3, 8, 8\); it needs maps of at least 9 x 2 pixels"):
        read_in_process(model)


def test_dilations_of_average_pooling_are_rejected() -> None:
    fields = {"kernel_shape": [2, 2], "dilations": [2, 2]}
    model = make_model([node("AveragePool", ["image"], ["y"], name="pool", **fields)], opset=19)
    with pytest.raises(ValueError, match=r"^AveragePool 'pool': dilations of average pooling"):
        read_in_process(model)


def test_power_pooling_is_rejected() -> None:
    model = make_model([node("LpPool", ["image"], ["y"], name="pool", kernel_shape=[2, 2])])
    with pytest.raises(ValueError, match=r"^LpPool 'pool': this operator is not supported; allowed: "):
        read_in_process(model)
