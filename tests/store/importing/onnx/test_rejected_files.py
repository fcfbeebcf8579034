"""Files that cannot be imported: one sentence says why, and nothing runs that need not."""

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper
from torch import Tensor, nn

from tests.support.onnx_exports import export
from tests.support.onnx_graphs import make_model, node, random_array, read_in_process
from zfscope.store.importing.onnx.protobuf import read_model

CONV = node("Conv", ["image", "w"], ["c"], name="stem")
WEIGHT = {"w": random_array(4, 3, 3, 3)}


def small_model() -> ModelProto:
    return make_model([CONV, node("Relu", ["c"], ["y"])], WEIGHT)


def rejection(path: Path) -> str:
    """Return the message of a rejected file, which must be one sentence."""
    with pytest.raises(ValueError, match=r".") as caught:
        read_model(path)
    return one_sentence(str(caught.value))


def one_sentence(message: str) -> str:
    assert "\n" not in message
    assert not message.endswith(".")
    return message


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 100, b"\xff" * 100, b"GIF89a"])
def test_other_files_are_rejected(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert rejection(path).startswith("not an ONNX file")


def test_a_file_that_is_cut_off_anywhere_is_rejected(tmp_path: Path) -> None:
    content = small_model().SerializeToString()
    path = tmp_path / "model.onnx"
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"^(?!.*\n)."):
            read_in_process(read_model(path))


def test_a_name_that_is_not_text_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(small_model().SerializeToString().replace(b"stem", b"st\x80m"))
    assert "not valid UTF-8" in rejection(path)


@settings(max_examples=100)
@given(content=st.binary(max_size=300))
def test_random_bytes_are_rejected(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "random.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_in_process(read_model(path))


@settings(max_examples=200)
@given(data=st.data())
def test_a_damaged_file_is_rejected_or_read(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever byte is changed: a ValueError at most."""
    content = bytearray(small_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content)
    with suppress(ValueError):
        read_in_process(read_model(path))


@pytest.mark.parametrize("name", ["model.pth", "model.pt", "model.bin", "model.ckpt", "model.onnx"])
def test_weights_without_their_network_are_rejected_with_the_lines_that_export_it(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(ValueError, match="not an ONNX file but weights, without their network") as caught:
        read_model(path)
    message = one_sentence(str(caught.value))
    for line in ("model.eval()", "image = torch.zeros(", "torch.onnx.export(model, (image,)"):
        assert line in message


def test_weights_in_another_file_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(small_model(), path, save_as_external_data=True, size_threshold=0, location="weights.bin")
    message = rejection(path)
    assert message.startswith("tensor 'w' is stored in another file; save the model as one file")


def test_other_files_are_not_read_as_weights(tmp_path: Path) -> None:
    """A path outside the folder is never opened."""
    model = small_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../../../etc/passwd"), ("offset", "0"), ("length", "432")):
        tensor.external_data.add(key=key, value=value)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert rejection(path).startswith("tensor 'w' is stored in another file")


@pytest.mark.parametrize("shape", [(1024, 1024, 1024), (2**40, 2**40), (-1, 3, 3, 3), (4, 3, 3, 4)])
def test_a_tensor_that_declares_more_than_it_has_is_rejected(shape: tuple[int, ...], tmp_path: Path) -> None:
    model = small_model()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(shape)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    message = rejection(path)
    assert message.startswith(f"tensor 'w' of shape {shape} should have ")
    assert message.endswith("the file is damaged")


@pytest.mark.parametrize("kind", [0, 99, 23])
def test_a_tensor_of_an_unknown_type_is_rejected(kind: int, tmp_path: Path) -> None:
    model = small_model()
    content = model.SerializeToString()
    model.graph.initializer[0].data_type = kind
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert content != path.read_bytes()
    with pytest.raises(ValueError, match=r"^(?!.*\n)."):
        read_in_process(read_model(path))


def test_an_operator_of_another_domain_is_rejected_by_name(tmp_path: Path) -> None:
    nodes = [CONV, node("Magic", ["c"], ["y"], name="trick", domain="com.acme")]
    path = tmp_path / "model.onnx"
    model = make_model(nodes, WEIGHT)
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    onnx.save(model, path)
    assert rejection(path) == (
        "Magic 'trick' is an operator of the domain 'com.acme'; only ONNX's own can be imported: "
        "export the model without it"
    )


def branches() -> list[onnx.NodeProto]:
    output = [helper.make_tensor_value_info("a", TensorProto.FLOAT, None)]
    graphs = [
        helper.make_graph([node(operator, ["c"], ["a"])], "branch", [], output)
        for operator in ("Relu", "Tanh")
    ]
    return [
        CONV,
        node("ReduceSum", ["c"], ["s"], keepdims=0),
        node("Greater", ["s", "zero"], ["condition"]),
        node("If", ["condition"], ["y"], name="choose", then_branch=graphs[0], else_branch=graphs[1]),
    ]


def loop() -> list[onnx.NodeProto]:
    infos = [
        helper.make_tensor_value_info(name, kind, None)
        for name, kind in (("i", TensorProto.INT64), ("going", TensorProto.BOOL), ("x", TensorProto.FLOAT))
    ]
    body = helper.make_graph(
        [node("Relu", ["x"], ["next"]), node("Identity", ["going"], ["again"])],
        "body",
        infos,
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, None),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    return [CONV, node("Loop", ["count", "", "c"], ["y"], name="repeat", body=body)]


@pytest.mark.parametrize(("nodes", "name"), [(branches, "If 'choose'"), (loop, "Loop 'repeat'")])
def test_control_flow_is_rejected_by_name(nodes: Callable[[], list[onnx.NodeProto]], name: str) -> None:
    constants = {**WEIGHT, "zero": np.array(0, np.float32), "count": np.array(3)}
    with pytest.raises(ValueError, match=f"^{name} is control flow; only graphs that always run the same"):
        read_in_process(make_model(nodes(), constants))


@pytest.mark.parametrize("operator", ["QuantizeLinear", "DynamicQuantizeLinear"])
def test_quantised_graphs_are_rejected_with_advice(operator: str) -> None:
    if operator == "QuantizeLinear":
        first = node(operator, ["image", "s", "z"], ["q"], name="quantise")
        second = node("DequantizeLinear", ["q", "s", "z"], ["d"])
    else:
        first = node(operator, ["image"], ["q", "ds", "dz"], name="quantise")
        second = node("DequantizeLinear", ["q", "ds", "dz"], ["d"])
    nodes = [first, second, node("Conv", ["d", "w"], ["y"])]
    constants = {**WEIGHT, "s": np.array(0.05, np.float32), "z": np.array(128, np.uint8)}
    expected = "^.*Linear '.*': quantised graphs are not supported; export the model before it is quantised$"
    with pytest.raises(ValueError, match=expected):
        read_in_process(make_model(nodes, constants))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


def test_transformers_are_rejected_by_an_operator() -> None:
    with pytest.raises(ValueError, match=r"^(Gemm|MatMul|Transpose|Reshape|Add) '.*': .* not supported"):
        read_in_process(export(Transformer(), "script"))


@pytest.mark.parametrize(
    "break_graph",
    [
        lambda graph: graph.node[1].input.__setitem__(0, "nowhere"),
        lambda graph: graph.node[0].input.__setitem__(0, "y"),  # a cycle
        lambda graph: graph.node[1].output.__setitem__(0, "c"),  # written twice
        lambda graph: graph.output[0].__setattr__("name", "nowhere"),
        lambda graph: graph.node.add(op_type="Nonsense", input=["y"], output=["z"]),
        lambda graph: graph.node[1].attribute.add(name="alpha", type=1, f=1.0),
        lambda graph: graph.node[0].input.append("w"),
        lambda graph: graph.node[0].ClearField("input"),
        lambda graph: graph.node[1].ClearField("output"),
        lambda graph: graph.ClearField("output"),
        lambda graph: graph.ClearField("initializer"),
        lambda graph: graph.node[0].attribute.add(name="pads", type=7, ints=[1]),
        lambda graph: graph.node[0].attribute.add(name="pads", type=7, ints=[-1, -1, 0, 0]),
        lambda graph: graph.node[0].attribute.add(name="strides", type=7, ints=[0, 0]),
        lambda graph: graph.node[0].attribute.add(name="group", type=2, i=0),
        lambda graph: graph.node[0].attribute.add(name="auto_pad", type=3, s=b"\xff"),
        lambda graph: graph.input[0].type.tensor_type.__setattr__("elem_type", TensorProto.UINT8),
    ],
)
def test_invalid_graphs_are_rejected_in_one_sentence(
    break_graph: Callable[[onnx.GraphProto], object],
) -> None:
    model = small_model()
    break_graph(model.graph)
    with pytest.raises(ValueError, match=r"^(?!.*\n).") as caught:
        read_in_process(model)
    one_sentence(str(caught.value))


def test_deeply_nested_graphs_are_rejected(tmp_path: Path) -> None:
    """Deeper than Python's stack, and than protobuf's limit."""
    content = b""
    for _ in range(5000):  # GraphProto.node.attribute.g, as protobuf writes it
        for field in (6 << 3 | 2, 5 << 3 | 2, 1 << 3 | 2):
            content = bytes([field]) + length(len(content)) + content
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes([7 << 3 | 2]) + length(len(content)) + content)
    assert rejection(path).startswith("not an ONNX file")


def length(count: int) -> bytes:
    """Return a number as protobuf writes it."""
    parts = []
    while count > 127:
        parts.append(count & 127 | 128)
        count >>= 7
    return struct.pack(f"{len(parts) + 1}B", *parts, count)


def test_a_huge_constant_of_any_operator_is_rejected_as_a_constant() -> None:
    nodes = [
        node("ConstantOfShape", ["shape"], ["big"], name="zeros"),
        node("ReduceSum", ["big"], ["sum"], keepdims=0),
        CONV,
        node("Add", ["c", "sum"], ["y"]),
    ]
    model = make_model(nodes, {**WEIGHT, "shape": np.array([2**40])})
    with pytest.raises(ValueError, match=r"^ConstantOfShape 'zeros': ONNX Runtime did not compute"):
        read_in_process(model)


def test_products_of_several_vectors_are_rejected() -> None:
    nodes = [
        CONV,
        node("Reshape", ["c", "rows"], ["r"]),
        node("MatMul", ["r", "matrix"], ["y"], name="attention"),
    ]
    constants = {**WEIGHT, "rows": np.array([8, -1]), "matrix": np.ones((18, 2), np.float32)}
    expected = r"^MatMul 'attention': .* is not supported; allowed: fully connected layers"
    with pytest.raises(ValueError, match=expected):
        read_in_process(make_model(nodes, constants))
