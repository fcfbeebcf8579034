"""Names of layers, from the names of nodes, tensors and weights."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto

from tests.support.onnx_graphs import make_model, node, random_array, read_in_process
from zfscope.networks.layer import LAYER_NAME
from zfscope.store.importing.onnx.names import NodeOrigin, choose_names


def names_of(model: ModelProto) -> list[str]:
    return [layer.name for layer in read_in_process(model).spec.layers]


def chosen(*origins: tuple[str, str]) -> list[str]:
    """Return the names of layers with the given paths and operators."""
    keys = {
        str(index): NodeOrigin(tuple(path.split(".")) if path else (), operator)
        for index, (path, operator) in enumerate(origins)
    }
    return list(choose_names(keys, reserved=["input"]).values())


def test_a_module_gives_its_name_to_its_last_layer() -> None:
    assert chosen(("act", "sigmoid"), ("act", "mul")) == ["act.sigmoid", "act"]


def test_a_module_with_one_kind_of_operator_gives_its_name_to_each() -> None:
    """A ReLU that is applied twice."""
    assert chosen(("relu", "relu"), ("conv", "conv"), ("relu", "relu")) == ["relu", "conv", "relu_1"]


def test_an_operator_of_a_module_with_others_inside_is_named_after_both() -> None:
    assert chosen(("block.conv", "conv"), ("block", "add")) == ["block.conv", "block.add"]


def test_an_operator_of_the_whole_network_is_named_after_itself() -> None:
    assert chosen(("", "flatten"), ("fc", "gemm"), ("", "flatten")) == ["flatten", "fc", "flatten_1"]


def test_the_name_of_the_image_is_reserved() -> None:
    assert chosen(("input", "conv")) == ["input_1"]


@given(st.lists(st.tuples(st.lists(st.text(max_size=8), max_size=3), st.sampled_from(["conv", "add"]))))
def test_names_are_valid_and_unique_whatever_the_paths(paths: Sequence[tuple[list[str], str]]) -> None:
    origins = {str(i): NodeOrigin(tuple(path), operator) for i, (path, operator) in enumerate(paths)}
    names = choose_names(origins, reserved=["input"])
    assert list(names) == list(origins)
    assert len({*names.values(), "input"}) == len(origins) + 1
    assert all(re.match(LAYER_NAME, name) for name in names.values())


def test_long_names_are_shortened_and_stay_unique() -> None:
    first, second = chosen((f"a.{'x' * 300}", "conv"), (f"a.{'x' * 301}", "conv"))
    assert first != second
    assert len(first) <= len(second) <= 125


def chain(names: Sequence[str]) -> ModelProto:
    """Return a chain of ReLUs and Tanhs with the given names of nodes."""
    nodes = [
        node(operator, [f"t{index - 1}" if index else "image"], [f"t{index}"], name=name)
        for index, (name, operator) in enumerate(zip(names, ["Relu", "Tanh"] * len(names), strict=False))
    ]
    return make_model(nodes)


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        (["conv1", "pool1"], ["conv1", "pool1"]),
        # torch's older exporter: the path of the module, then the operator
        (["/layer1/layer1.0/relu/Relu", "/act/Tanh"], ["layer1.0.relu", "act"]),
        (["/features/features.0/Relu", "/features/features.1/Tanh"], ["features.0", "features.1"]),
        (["/a/a.0/a.0.1/Relu", "/a/a.1/Tanh"], ["a.0.1", "a.1"]),
        # tf2onnx: the name of the network first; Keras: the layer, then its operator
        (["model/block_1/relu/Relu", "model/act/Tanh"], ["model.block_1.relu", "model.act"]),
        (
            ["StatefulPartitionedCall/mobilenet/relu/Relu6", "StatefulPartitionedCall/mobilenet/act/Tanh"],
            ["StatefulPartitionedCall.mobilenet.relu", "StatefulPartitionedCall.mobilenet.act"],
        ),
        # odd characters
        (["α/β", "/../../etc"], ["layer", "layer_1"]),
        (["a b\nc", "x:0"], ["a_b_c", "x_0"]),
        (["../../../etc/passwd", "C:\\nul"], ["etc", "C_nul"]),
        (["1", "_a"], ["layer_1", "a"]),
        (["-a", "😀"], ["layer_-a", "layer"]),
        (["input", "input_1"], ["input_1", "input_1_1"]),
        (["same.a", "same"], ["same.a", "same.tanh"]),
        (["", ""], ["t0", "t1"]),
    ],
)
def test_layers_are_named_after_their_nodes(nodes: list[str], names: list[str]) -> None:
    assert names_of(chain(nodes)) == names


def test_a_layer_is_named_after_its_weight_first() -> None:
    """The node of a convolution may have a name that only says where it stands in a list."""
    constants = {"features.0.weight": random_array(4, 3, 3, 3), "features.0.bias": random_array(4)}
    assert names_of(make_model([node("Conv", ["image", *constants], ["y"], name="Conv_0")], constants)) == [
        "features.0"
    ]


@pytest.mark.parametrize("name", ["onnx::Conv_12", "val_3", "", "w"])
def test_generated_names_of_weights_are_not_used(name: str) -> None:
    constants = {name or "k": random_array(4, 3, 3, 3)}
    nodes = [node("Conv", ["image", *constants], ["y"], name="/stem/conv/Conv")]
    assert names_of(make_model(nodes, constants)) == ["stem.conv"]


def test_layers_without_a_node_of_their_own_are_named_after_their_kind() -> None:
    nodes = [
        node("Slice", ["image", "start", "end", "axis"], ["s"], name="part"),
        node("Conv", ["s", "w"], ["c"], name="conv"),
    ]
    places = {"start": [1], "end": [3], "axis": [1]}
    constants = {name: np.array(value) for name, value in places.items()} | {"w": random_array(4, 2, 3, 3)}
    assert names_of(make_model(nodes, constants)) == ["select_maps", "conv"]


def with_scope(made: NodeProto, scope: str) -> NodeProto:
    entry = made.metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", scope
    return made


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("['', 'stem', 'stem.act', 'relu']", "stem.act"),
        ("['', 'relu']", "relu"),
        ("['relu']", "relu"),
        # not as torch writes them
        ("[]", "node_1"),
        ("['a', 3]", "node_1"),
        ("{'a': 'b'}", "node_1"),
        ("(" * 3000, "node_1"),
        ("__import__('os').abort()", "node_1"),
        ("", "node_1"),
    ],
)
def test_the_scope_of_a_module_is_used_if_it_is_valid(scope: str, name: str) -> None:
    made = with_scope(node("Relu", ["image"], ["y"], name="node_1"), scope)
    assert names_of(make_model([made])) == [name]
