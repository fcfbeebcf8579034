"""Convolutions and padding of ONNX graphs."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.onnx_graphs import import_graph, kinds, make_model, node, random_array, read_in_process

OPSETS = [7, 9, 11, 13, 17, 21]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("bias", [False, True])
def test_convolutions_are_read_from_any_opset(opset: int, bias: bool) -> None:
    constants = {"w": random_array(4, 3, 3, 3)} | ({"b": random_array(4)} if bias else {})
    network = import_graph(make_model([node("Conv", ["image", *constants], ["y"])], constants, opset=opset))
    assert kinds(network) == ["conv"]


@settings(max_examples=40)
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    groups=st.sampled_from([1, 3]),
)
def test_kernels_strides_dilations_pads_and_groups_are_read(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, ...],
    groups: int,
) -> None:
    fields = {"strides": strides, "dilations": dilations, "pads": pads, "group": groups}
    weight = random_array(6, 3 // groups, *kernel)
    import_graph(
        make_model(
            [node("Conv", ["image", "w"], ["y"], kernel_shape=kernel, **fields)],
            {"w": weight},
            image=(1, 3, 13, 13),
        )
    )


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize(("side", "kernel", "stride"), list(product([11, 12], [2, 3, 5], [1, 2, 3])))
def test_automatic_padding_is_computed_for_the_size_of_the_image(
    mode: str, side: int, kernel: int, stride: int
) -> None:
    fields = {"auto_pad": mode, "strides": [stride, stride]}
    nodes = [
        node("Conv", ["image", "w"], ["c"], **fields),
        node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2], auto_pad=mode, strides=[1, 2]),
    ]
    import_graph(make_model(nodes, {"w": random_array(4, 3, kernel, kernel)}, image=(1, 3, side, side)))


def test_automatic_padding_may_be_none_with_dilation() -> None:
    fields = {"auto_pad": "VALID", "dilations": [2, 3]}
    import_graph(make_model([node("Conv", ["image", "w"], ["y"], **fields)], {"w": random_array(4, 3, 3, 2)}))


def test_batch_normalisation_after_a_convolution_is_merged_with_it() -> None:
    nodes = [
        node("Conv", ["image", "conv1.weight"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["y"], epsilon=1e-3),
    ]
    constants = {
        "conv1.weight": random_array(4, 3, 3, 3),
        "scale": random_array(4, seed=1),
        "shift": random_array(4, seed=2),
        "mean": random_array(4, seed=3),
        "variance": np.square(random_array(4, seed=4)) + 0.5,
    }
    network = import_graph(make_model(nodes, constants))
    assert [layer.name for layer in network.spec.layers] == ["conv1"]


@pytest.mark.parametrize("opset", [7, 10, 11, 13, 18, 21])
@pytest.mark.parametrize("pads", [(1, 2, 0, 1), (0, 1, 0, 1)])
def test_padding_before_a_convolution_is_merged_with_it(opset: int, pads: tuple[int, ...]) -> None:
    top, left, bottom, right = pads
    every = [0, 0, top, left, 0, 0, bottom, right]
    stated = opset < 11
    pad = node(
        "Pad", ["image"] if stated else ["image", "pads"], ["p"], **({"pads": every} if stated else {})
    )
    constants = {"w": random_array(4, 3, 3, 3)} | ({} if stated else {"pads": np.array(every)})
    network = import_graph(make_model([pad, node("Conv", ["p", "w"], ["y"])], constants, opset=opset))
    assert kinds(network) == ["conv"]


@pytest.mark.parametrize("opset", [7, 13, 21])
def test_padding_that_nothing_can_be_merged_with_is_a_convolution_that_copies_maps(opset: int) -> None:
    every = [0, 0, 1, 0, 0, 0, 2, 3]
    stated = opset < 11
    nodes = [
        node("Relu", ["image"], ["r"]),
        node("Pad", ["r"] if stated else ["r", "pads"], ["p"], **({"pads": every} if stated else {})),
        node("Relu", ["p"], ["y"]),
    ]
    constants = {} if stated else {"pads": np.array(every)}
    network = import_graph(make_model(nodes, constants, opset=opset))
    assert kinds(network) == ["relu", "conv", "relu"]


@pytest.mark.parametrize(
    ("every", "fields", "constants"),
    [
        ([0, 0, 1, 1, 0, 0, 1, 1], {"mode": "reflect"}, {}),
        ([0, 0, 1, 1, 0, 0, 1, 1], {}, {"value": np.array(1, np.float32)}),
        ([0, 1, 0, 0, 0, 0, 0, 0], {}, {}),
        ([0, 0, -1, 0, 0, 0, 0, 0], {}, {}),
    ],
)
def test_other_padding_is_rejected(
    every: list[int], fields: dict[str, str], constants: dict[str, np.ndarray]
) -> None:
    nodes = [
        node("Relu", ["image"], ["r"]),
        node("Pad", ["r", "pads", *constants], ["p"], name="border", **fields),
        node("Relu", ["p"], ["y"]),
    ]
    model = make_model(nodes, {"pads": np.array(every), **constants})
    with_name = "Pad 'border': only padding of rows and columns with zeros is supported"
    with pytest.raises(ValueError, match=with_name):
        read_in_process(model)


def test_padding_of_a_few_axes_is_read() -> None:
    """Since opset 18, a node may name the axes that it pads."""
    nodes = [
        node("Relu", ["image"], ["r"]),
        node("Pad", ["r", "pads", "", "axes"], ["p"]),
        node("Relu", ["p"], ["y"]),
    ]
    constants = {"pads": np.array([1, 0, 2, 3]), "axes": np.array([-2, 3])}
    import_graph(make_model(nodes, constants, opset=18))


def test_convolutions_in_one_or_three_dimensions_are_rejected() -> None:
    nodes = [
        node("Unsqueeze", ["image", "axis"], ["u"]),
        node("Conv", ["u", "w"], ["y"], name="volume"),
    ]
    model = make_model(nodes, {"axis": np.array([2]), "w": random_array(4, 3, 1, 3, 3)})
    with pytest.raises(
        ValueError, match=r"^Conv 'volume': 3-D convolutions are not supported, only 2-D ones$"
    ):
        read_in_process(model)


def test_a_convolution_whose_weights_are_computed_is_rejected() -> None:
    nodes = [node("Conv", ["image", "image"], ["y"], name="self")]
    model = make_model(nodes, image=(1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"^Conv 'self': input 1 is computed from the image; only constants"):
        read_in_process(model)
