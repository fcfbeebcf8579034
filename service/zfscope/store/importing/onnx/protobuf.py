"""Reading ONNX files of unknown origin: what cannot be imported is rejected before anything runs."""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

# Operators of these domains are ONNX's own.
_DOMAINS = ("", "ai.onnx")

# Files of weights, whose network is in the program that wrote them: suffixes, and first bytes of torch's (a
# ZIP archive, or a pickle).
_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".npz", ".h5", ".keras", ".caffemodel")
_CHECKPOINT_HEADS = (b"PK", b"\x80\x02")

_EXPORT = (
    "not an ONNX file but weights, without their network; export the model in torch by three lines: "
    "model.eval(); image = torch.zeros(1, 3, 224, 224); "
    'torch.onnx.export(model, (image,), "model.onnx", dynamo=False)'
)

# Advice for the quantised operators of ONNX Runtime's own.
_QDQ = "quantise the model in the format QDQ (quantize_static(..., quant_format=QuantFormat.QDQ))"

_CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")


def read_model(path: Path) -> ModelProto:
    """Read an ONNX file. Raises ValueError, naming what is wrong, for one that cannot be imported."""
    with path.open("rb") as file:
        head = file.read(2)
    if path.suffix in _CHECKPOINTS or head in _CHECKPOINT_HEADS:
        raise ValueError(_EXPORT)
    try:
        model = onnx.load_model(path, load_external_data=False)
    except Exception as error:  # protobuf's error, whose class only the wire imports
        raise ValueError("not an ONNX file, or truncated; export or copy it again") from error
    if not model.graph.node:
        raise ValueError("not an ONNX file: it has no graph; export or copy it again")
    for graph in graphs(model.graph):
        for node in graph.node:
            _check_names(node)
            _check_domain(node)
        for tensor in tensors(graph):
            _check_tensor(tensor)
    return model


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from graphs(attribute.g)
            for inner in attribute.graphs:
                yield from graphs(inner)


def describe(node: NodeProto) -> str:
    """Return a node as messages name it: its operator, and its name or else its output."""
    return f"{node.op_type} '{node.name or ', '.join(node.output)}'"


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield all constant tensors of a graph."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t


def check_control_flow(graph: GraphProto) -> None:
    """Raise ValueError if what a graph runs depends on its input."""
    for node in graph.node:
        if node.op_type in _CONTROL_FLOW:
            raise ValueError(
                f"{describe(node)} is control flow; only graphs that always run the same operators can be "
                "imported: export the model in evaluation mode, without scripting"
            )


def _check_names(node: NodeProto) -> None:
    """Raise ValueError for names that are not text, which protobuf returns as bytes."""
    names: Sequence[object] = (node.name, node.op_type, node.domain, *node.input, *node.output)
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a name in the graph is not valid UTF-8; the file is damaged")


def _check_domain(node: NodeProto) -> None:
    if node.domain not in _DOMAINS:
        advice = _QDQ if node.op_type.startswith("QLinear") else "export the model without it"
        raise ValueError(
            f"{describe(node)} is an operator of the domain '{node.domain}'; only ONNX's own can be "
            f"imported: {advice}"
        )


def _check_tensor(tensor: TensorProto) -> None:
    name = tensor.name or "(without a name)"
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ValueError(
            f"tensor '{name}' is stored in another file; save the model as one file "
            "(torch.onnx.export(..., external_data=False))"
        )
    if tensor.data_type not in helper.get_all_tensor_dtypes():
        raise ValueError(f"tensor '{name}' has the unknown type {tensor.data_type}; the file is damaged")
    size = prod(tensor.dims) * _bytes_per_value(tensor)
    if size != _stored_bytes(tensor):
        raise ValueError(
            f"tensor '{name}' of shape {tuple(tensor.dims)} should have {size:,} bytes, but has "
            f"{_stored_bytes(tensor):,}; the file is damaged"
        )


def _bytes_per_value(tensor: TensorProto) -> int:
    return int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _stored_bytes(tensor: TensorProto) -> int:
    """Return the bytes of a tensor's values, in whichever field they are stored."""
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    typed: Sequence[Any] = getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))
    return len(typed) * _bytes_per_value(tensor)
