"""Simplifying a graph by ONNX Runtime: constants folded, batch normalisation and padding fused."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto, numpy_helper

from zfscope.ort import import_onnxruntime
from zfscope.store.importing.onnx.patterns import merge_concatenations
from zfscope.store.importing.onnx.protobuf import check_control_flow, graphs, tensors

# Numbers of channels that an image may have.
CHANNELS = (1, 3)

# How ONNX Runtime's messages begin: `[ONNXRuntimeError] : 1 : FAIL : /source/graph.cc:1617 Status method() `.
_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_SOURCE = re.compile(r"/\S+:\d+ .*?\) ")

# What they contain if memory is exhausted.
_OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")

_HALF, _FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def fix_input(model: ModelProto, size: int | None) -> ValueInfoProto:
    """Set the batch to 1 and return the input, which must be a batch of square images of 1 or 3 channels.

    size: rows and columns for a model that leaves them open. Raises ValueError for any other input.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(f"'{value.name}'" for value in inputs)
        count = f"{len(inputs)} inputs ({names})" if inputs else "no input"
        raise ValueError(f"the graph has {count}; export the model with one, a batch of images")
    (value,) = inputs
    dims = value.type.tensor_type.shape.dim
    if len(dims) != 4:
        raise ValueError(f"input '{value.name}' has {len(dims)} axes; it must have 4: images (N, 3, H, W)")
    if dims[1].dim_value in CHANNELS:
        rows, columns = dims[2], dims[3]
    elif dims[3].dim_value in CHANNELS:
        rows, columns = dims[1], dims[2]
    else:
        raise ValueError(
            f"input '{value.name}' has no axis of 1 or 3 channels: it is {_shape_text(dims)}; only "
            "networks of grey or colour images can be imported"
        )
    shape = _shape_text(dims)
    for dim, extent in ((dims[0], 1), (rows, rows.dim_value or size), (columns, columns.dim_value or size)):
        if extent is None:
            raise ValueError(f"input '{value.name}' is of any size, {shape}; set one with --size")
        dim.Clear()
        dim.dim_value = extent
    _check_size(value.name, rows.dim_value, columns.dim_value, size)
    for output in model.graph.output:  # their shapes follow from the input
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    return value


def _check_size(name: str, rows: int, columns: int, size: int | None) -> None:
    extent = f"input '{name}' is {rows} x {columns} pixels"
    if rows != columns:
        raise ValueError(f"{extent}; it must be square: export the model for square images")
    if size is not None and rows != size:
        raise ValueError(f"{extent}, not {size} x {size}: omit --size, or export the model for that size")


def _shape_text(dims: Any) -> str:
    return f"({', '.join(dim.dim_param or str(dim.dim_value or '?') for dim in dims)})"


def to_float32(model: ModelProto) -> None:
    """Turn a graph in half precision into one in float32; others remain as they are."""
    for graph in graphs(model.graph):
        _constants_to_float32(graph)
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == _HALF:
            value.type.tensor_type.elem_type = _FLOAT


def _constants_to_float32(graph: GraphProto) -> None:
    for tensor in tensors(graph):
        if tensor.data_type == _HALF:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            is_type = node.op_type == "Cast" and attribute.name == "to"
            if is_type and attribute.type == AttributeProto.INT and attribute.i == _HALF:
                attribute.i = _FLOAT


def normalise(model: ModelProto) -> ModelProto:
    """Return the graph as ONNX Runtime simplifies it with its basic optimisations; merge concatenations.

    Runs the constant parts of the graph. Raises ValueError if ONNX Runtime rejects the graph.
    """
    onnxruntime = import_onnxruntime()
    options = _options(onnxruntime)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory(prefix="zfscope-") as folder:
        path = Path(folder) / "normalised.onnx"
        options.optimized_model_filepath = str(path)
        _session(onnxruntime, model, options)
        simplified = onnx.load_model(path)
    check_control_flow(simplified.graph)
    merge_concatenations(simplified.graph)
    return onnx.shape_inference.infer_shapes(simplified)


def run(model: ModelProto, image: NDArray[np.float32], outputs: list[str]) -> Mapping[str, NDArray[Any]]:
    """Return tensors of a graph for an image, without optimisations."""
    onnxruntime = import_onnxruntime()
    options = _options(onnxruntime)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    known = {value.name for value in model.graph.output}
    extended = ModelProto()
    extended.CopyFrom(model)
    extended.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in known)
    session = _session(onnxruntime, extended, options)
    feeds = {session.get_inputs()[0].name: image}
    try:
        return dict(zip(outputs, session.run(outputs, feeds), strict=True))
    except Exception as error:  # as in `_session`
        raise _failure("ONNX Runtime cannot run the graph", error) from error


def _options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


def _session(onnxruntime: Any, model: ModelProto, options: Any) -> Any:
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        raise _failure("ONNX Runtime rejects the graph", error) from error


def _failure(summary: str, error: Exception) -> Exception:
    """Return an exception of ONNX Runtime as one of Python's."""
    text = str(error)
    if isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY):
        return MemoryError(text)
    return ValueError(f"{summary}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    """Return the first line of ONNX Runtime's message, without its code and the place in its source."""
    line = str(error).strip().split("\n", maxsplit=1)[0]
    return _SOURCE.sub("", _CODE.sub("", line)).rstrip(". ")
