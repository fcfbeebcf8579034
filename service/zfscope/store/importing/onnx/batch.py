"""Making the fixed batch dimension of a graph free."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from zfscope.store.importing.onnx.protobuf import attributes

BATCH = "N"


def free_batch(
    original: ModelProto, image: str, batch: int | None, outputs: Mapping[str, NDArray[Any]]
) -> ModelProto:
    """Return a copy of a graph whose batch dimension is free; whether it works is for the caller to check.

    image: its input. batch: the size that exporters wrote into constants; None if the batch was free.
    outputs: the tensors that depend on the image, for one image. Constant shapes of Reshape take their batch
    from the input, and constants that are joined to images, such as class tokens, are repeated.
    """
    model = ModelProto()
    model.CopyFrom(original)
    graph = model.graph
    value = next(value for value in graph.input if value.name == image)
    value.type.tensor_type.shape.dim[0].Clear()
    value.type.tensor_type.shape.dim[0].dim_param = BATCH
    if batch is not None:
        _free_constants(graph, batch, {image, *outputs}, outputs)
    return model


def _free_constants(
    graph: GraphProto, batch: int, dependent: set[str], outputs: Mapping[str, NDArray[Any]]
) -> None:
    constants = _constants(graph)
    nodes = list[NodeProto]()
    for number, node in enumerate(graph.node):
        if node.op_type == "Reshape" and node.input[0] in dependent and node.input[1] in constants:
            _free_shape(graph, node, constants[node.input[1]], batch, f"zfscope_shape_{number}")
        if node.op_type == "Concat" and dependent & set(node.input) and attributes(node)["axis"] != 0:
            rank = outputs[node.output[0]].ndim if node.output[0] in outputs else 0
            nodes += _repeated(graph, node, dependent, rank, f"zfscope_repeat_{number}")
        nodes.append(node)
    copies = [_copy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _copy(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def _constants(graph: GraphProto) -> Mapping[str, NDArray[Any]]:
    """Return the integer constants of a graph by name."""
    known = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].type == node.attribute[0].TENSOR:
            known[node.output[0]] = node.attribute[0].t
    return {
        name: numpy_helper.to_array(tensor)
        for name, tensor in known.items()
        if tensor.data_type == TensorProto.INT64
    }


def _free_shape(graph: GraphProto, node: NodeProto, shape: NDArray[Any], batch: int, name: str) -> None:
    """Let the first axis of a Reshape follow the batch: -1 is whatever is left over, 0 that of the input."""
    if not shape.size or shape[0] != batch:
        return
    if -1 in shape:
        if any(attribute.name == "allowzero" and attribute.i for attribute in node.attribute):
            return  # 0 means no elements here
        first = 0
    else:
        first = -1
    freed = np.array([first, *shape[1:]], np.int64)
    graph.initializer.append(numpy_helper.from_array(freed, name))
    node.input[1] = name


def _repeated(
    graph: GraphProto, node: NodeProto, dependent: set[str], rank: int, name: str
) -> list[NodeProto]:
    """Return nodes that repeat the constants which a Concat joins to images, once per image."""
    fixed = [index for index, source in enumerate(node.input) if source not in dependent]
    if not fixed or rank < 2:
        return []
    source = next(each for each in node.input if each in dependent)
    first, ones = f"{name}_first", f"{name}_ones"
    graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), first))
    graph.initializer.append(numpy_helper.from_array(np.ones(rank - 1, np.int64), ones))
    nodes = [
        helper.make_node("Shape", [source], [f"{name}_shape"]),
        helper.make_node("Gather", [f"{name}_shape", first], [f"{name}_batch"], axis=0),
        helper.make_node("Concat", [f"{name}_batch", ones], [f"{name}_target"], axis=0),
    ]
    for index in fixed:
        repeated = f"{name}_{index}"
        nodes.append(helper.make_node("Expand", [node.input[index], f"{name}_target"], [repeated]))
        node.input[index] = repeated
    return nodes
