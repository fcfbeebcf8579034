"""Tensors as views of layers, and the operators that only rearrange values."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.onnx_graphs import import_graph, kinds, make_model, node, random_array, read_in_process
from zfscope.networks.layers import SelectMaps
from zfscope.store.importing.onnx.values import View

SHAPE = (4, 3, 5)
WHOLE = View("conv1", SHAPE)


def values_of(view: View, output: NDArray[np.float32]) -> NDArray[np.float32]:
    return output.ravel()[view.indices] * view.scale + view.offset


def test_a_layers_output_is_a_plain_view() -> None:
    assert WHOLE.is_plain
    assert WHOLE.keeps_order
    assert WHOLE.dims == (1, *SHAPE)
    assert WHOLE.axes == (0, 1, 2)
    assert WHOLE.selected_maps() == (0, 1, 2, 3)


@settings(max_examples=60)
@given(data=st.data())
def test_indices_follow_every_rearrangement(data: st.DataObject) -> None:
    output = random_array(1, *SHAPE)
    view, values = WHOLE, output
    for _ in range(data.draw(st.integers(1, 4))):
        order = data.draw(st.permutations(range(1, values.ndim)))
        step: Callable[[NDArray[np.generic]], NDArray[np.generic]] = data.draw(
            st.sampled_from(
                [
                    lambda array, order=order: array.transpose(0, *order),
                    lambda array: array.reshape(1, -1),
                    lambda array: array.reshape(1, 2, 6, 5) if array.size == 60 else array,
                    lambda array: array[..., ::-1],
                    lambda array: array[:, : max(1, array.shape[1] - 1)],
                ]
            )
        )
        view, values = view.reindexed(step(view.indices)), step(values)
    assert view.dims == values.shape
    np.testing.assert_array_equal(values_of(view, output), values)


@given(order=st.permutations([0, 1, 2]))
def test_the_axes_of_a_transposed_view_are_known(order: list[int]) -> None:
    view = WHOLE.reindexed(WHOLE.indices.transpose(0, *(axis + 1 for axis in order)))
    assert view.axes == tuple(order)
    assert view.is_plain == (order == [0, 1, 2])


def test_a_view_that_is_transposed_back_is_plain() -> None:
    there = WHOLE.reindexed(WHOLE.indices.transpose(0, 2, 3, 1))
    assert there.reindexed(there.indices.transpose(0, 3, 1, 2)).is_plain


@given(maps=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_whole_maps_in_any_order_are_selected(maps: list[int]) -> None:
    assert WHOLE.reindexed(WHOLE.indices[:, maps]).selected_maps() == tuple(maps)


@pytest.mark.parametrize(
    "rearrange",
    [
        lambda indices: indices[:, :, ::-1],
        lambda indices: indices[:, :, :, :4],
        lambda indices: indices.reshape(1, 3, 4, 5),
        lambda indices: indices.reshape(1, -1),
        lambda indices: indices.transpose(0, 2, 1, 3),
    ],
)
def test_other_views_select_no_maps(rearrange: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> None:
    assert WHOLE.reindexed(rearrange(WHOLE.indices)).selected_maps() is None


def test_a_constant_is_assigned_to_the_maps_behind_the_axes() -> None:
    last = WHOLE.reindexed(WHOLE.indices.transpose(0, 2, 3, 1))
    constant = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(last.per_map(constant), constant)
    assert WHOLE.per_map(np.arange(5, dtype=np.float32)) is None
    assert WHOLE.per_map(np.ones((2, 4, 3, 5), np.float32)) is None
    half = WHOLE.reindexed(WHOLE.indices[:, 2:])
    values = half.per_map(np.array([5, 6], np.float32)[:, None, None])
    assert values is not None
    np.testing.assert_array_equal(values[2:], [5, 6])


# Weights of a convolution that makes six maps of an image.
SIX_MAPS = {"w": random_array(6, 3, 1, 1)}


@pytest.mark.parametrize("opset", [7, 11, 13, 18, 21])
@pytest.mark.parametrize("sizes", [None, [1, 4, 1]])
@pytest.mark.parametrize("axis", [1, -3])
def test_maps_are_split_with_and_without_sizes(opset: int, sizes: list[int] | None, axis: int) -> None:
    as_input = opset >= 13
    constants = {"sizes": np.array(sizes)} if sizes and as_input else {}
    fields = {"split": sizes} if sizes and not as_input else {}
    if sizes is None and opset >= 18:
        fields["num_outputs"] = 3
    nodes = [
        node("Conv", ["image", "w"], ["six"]),
        node("Split", ["six", *constants], ["a", "b", "c"], axis=axis, **fields),
        node("Concat", ["c", "a", "b"], ["k"], axis=1),
        node("Relu", ["k"], ["y"]),
    ]
    import_graph(make_model(nodes, {**constants, **SIX_MAPS}, opset=opset))


def test_the_last_part_of_a_split_may_be_smaller() -> None:
    split = node("Split", ["five"], ["a", "b", "c"], axis=1, num_outputs=3)
    nodes = [node("Conv", ["image", "w"], ["five"]), split, node("Concat", ["c", "b"], ["y"], axis=1)]
    import_graph(make_model(nodes, {"w": random_array(5, 3, 1, 1)}, opset=18))


@pytest.mark.parametrize("opset", [7, 9, 10, 11, 13, 21])
@pytest.mark.parametrize(("start", "end"), [(1, 3), (0, 2), (-2, 2**31 - 1), (1, 2**62), (-3, -1), (0, 100)])
def test_maps_are_sliced_in_any_opset(opset: int, start: int, end: int) -> None:
    stated = opset < 10
    if stated:
        nodes = [node("Slice", ["image"], ["s"], starts=[start], ends=[end], axes=[1])]
        constants = {}
    else:
        nodes = [node("Slice", ["image", "starts", "ends", "axes"], ["s"])]
        constants = {"starts": np.array([start]), "ends": np.array([end]), "axes": np.array([1])}
    network = import_graph(make_model([*nodes, node("Relu", ["s"], ["y"])], constants, opset=opset))
    assert kinds(network) in (["relu"], ["relu", "select_maps"])


@settings(max_examples=60)
@given(start=st.integers(-7, 7), end=st.integers(-7, 7), step=st.sampled_from([-3, -2, -1, 1, 2, 3]))
def test_slices_with_steps_equal_onnx_runtimes(start: int, end: int, step: int) -> None:
    expected = np.arange(6)[slice(start, end if end >= -6 or step > 0 else None, step)]
    if not expected.size:
        return
    parts = {"starts": [start], "ends": [end], "axes": [-3], "steps": [step]}
    nodes = [
        node("Conv", ["image", "w"], ["six"]),
        node("Slice", ["six", *parts], ["s"]),
        node("Relu", ["s"], ["y"]),
    ]
    constants = {name: np.array(values) for name, values in parts.items()} | SIX_MAPS
    import_graph(make_model(nodes, constants))


@pytest.mark.parametrize("indices", [[2, 0], [1, 1, 1], [-1, 0], [0]])
def test_maps_are_gathered(indices: list[int]) -> None:
    nodes = [node("Gather", ["image", "i"], ["g"], axis=1), node("Relu", ["g"], ["y"])]
    import_graph(make_model(nodes, {"i": np.array(indices)}))


def test_one_map_is_gathered_and_given_back_its_axis() -> None:
    nodes = [
        node("Gather", ["image", "i"], ["g"], axis=1),
        node("Unsqueeze", ["g", "axes"], ["u"]),
        node("Relu", ["u"], ["y"]),
    ]
    network = import_graph(make_model(nodes, {"i": np.array(1), "axes": np.array([1])}))
    assert network.spec.layers[-1] == SelectMaps(name="select_maps", maps=(1,))


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("opset", [7, 13, 21])
def test_a_channel_shuffle_is_a_permutation_of_maps(groups: int, opset: int) -> None:
    constants = {
        **SIX_MAPS,
        "apart": np.array([0, groups, 6 // groups, 8, 8]),
        "together": np.array([0, -1, 8, 8]),
    }
    nodes = [
        node("Conv", ["image", "w"], ["six"]),
        node("Reshape", ["six", "apart"], ["a"]),
        node("Transpose", ["a"], ["t"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["t", "together"], ["s"]),
        node("Relu", ["s"], ["y"]),
    ]
    network = import_graph(make_model(nodes, constants, opset=opset))
    assert sorted(kinds(network)) == ["conv", "relu", "select_maps"]


@pytest.mark.parametrize("opset", [7, 11, 13, 21])
def test_axes_of_one_are_removed_and_added(opset: int) -> None:
    as_input = opset >= 13
    constants = {"last": np.array([2, 3]), "l": random_array(3, 5)}
    nodes = [
        node("GlobalAveragePool", ["image"], ["p"]),
        node(
            "Squeeze", ["p", "last"] if as_input else ["p"], ["s"], **({} if as_input else {"axes": [2, 3]})
        ),
        node(
            "Unsqueeze", ["s", "last"] if as_input else ["s"], ["u"], **({} if as_input else {"axes": [2, 3]})
        ),
        node(
            "Squeeze", ["u", "last"] if as_input else ["u"], ["v"], **({} if as_input else {"axes": [2, 3]})
        ),
        node("MatMul", ["v", "l"], ["y"]),
    ]
    assert kinds(import_graph(make_model(nodes, constants, opset=opset))) == ["avg_pool", "flatten", "linear"]


@pytest.mark.parametrize(
    ("operator", "fields", "shape"),
    [
        ("Flatten", {}, None),
        ("Flatten", {"axis": -3}, None),
        ("Reshape", {}, [1, -1]),
        ("Reshape", {}, [0, 192]),
        ("Reshape", {}, [-1, 192]),
        ("Reshape", {"allowzero": 1}, [1, 192]),
    ],
)
def test_maps_are_flattened_in_every_form(
    operator: str, fields: dict[str, int], shape: list[int] | None
) -> None:
    constants = {"l": random_array(192, 5)} | ({"shape": np.array(shape)} if shape else {})
    inputs = ["image", "shape"] if shape else ["image"]
    nodes = [node(operator, inputs, ["f"], **fields), node("MatMul", ["f", "l"], ["y"])]
    assert kinds(import_graph(make_model(nodes, constants, opset=21))) == ["flatten", "linear"]


@pytest.mark.parametrize("order", [[0, 1, 3, 2], [0, 2, 1, 3], [0, 3, 2, 1]])
def test_a_convolution_of_rows_and_columns_that_were_exchanged_is_rejected(order: list[int]) -> None:
    nodes = [node("Transpose", ["image"], ["t"], perm=order), node("Conv", ["t", "w"], ["y"], name="turned")]
    image = (1, 3, 3, 3)
    with pytest.raises(
        ValueError, match=r"^Conv 'turned': .* rearranges values within maps is not supported$"
    ):
        read_in_process(make_model(nodes, {"w": random_array(4, 3, 1, 1)}, image=image))


def test_a_layer_with_weights_per_map_may_read_a_part_of_the_maps() -> None:
    nodes = [
        node("Conv", ["image", "w"], ["six"]),
        node("Split", ["six"], ["a", "b"], axis=1, num_outputs=2),
        node("PRelu", ["b", "slope"], ["p"]),
        node("Mul", ["a", "factor"], ["m"]),
        node("Concat", ["p", "m"], ["y"], axis=1),
    ]
    constants = {**SIX_MAPS, "slope": random_array(3, 1, 1), "factor": random_array(3, 1, 1, seed=1)}
    import_graph(make_model(nodes, constants, opset=18))


def test_halves_of_a_vector_may_be_multiplied() -> None:
    nodes = [
        node("Flatten", ["image"], ["f"]),
        node("MatMul", ["f", "l"], ["m"]),
        node("Split", ["m"], ["a", "b"], axis=1, num_outputs=2),
        node("Sigmoid", ["b"], ["s"]),
        node("Mul", ["a", "s"], ["y"]),
    ]
    import_graph(make_model(nodes, {"l": random_array(192, 8)}, opset=18))


def test_space_to_depth_is_rejected_by_name() -> None:
    model = make_model([node("SpaceToDepth", ["image"], ["y"], name="focus", blocksize=2)])
    with pytest.raises(ValueError, match=r"^SpaceToDepth 'focus': this operator is not supported"):
        read_in_process(model)
