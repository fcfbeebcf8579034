"""Making the fixed batch dimension of a graph free."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from zfscope.store.importing.onnx.protobuf import attributes

BATCH = "N"


def free_batch(
    original: ModelProto, image: str, outputs: Mapping[str, NDArray[Any]], *, constants: bool
) -> ModelProto:
    """Return a copy of a graph whose batch dimension is free; whether it works is for the caller to check.

    image: its input. outputs: the tensors that depend on the image, for one image. constants: also free the
    batch of one that exporters write into constants: shapes of Reshape take it from the input, and constants
    that are joined to images, such as class tokens, are repeated.
    """
    model = ModelProto()
    model.CopyFrom(original)
    graph = model.graph
    value = next(value for value in graph.input if value.name == image)
    value.type.tensor_type.shape.dim[0].Clear()
    value.type.tensor_type.shape.dim[0].dim_param = BATCH
    if constants:
        shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        _free_constants(graph, {image, *outputs}, outputs, (1, *shape[1:]))
    return model


def _free_constants(
    graph: GraphProto,
    dependent: set[str],
    outputs: Mapping[str, NDArray[Any]],
    image_shape: tuple[int, ...],
) -> None:
    constants = _constants(graph)
    nodes = list[NodeProto]()
    for number, node in enumerate(graph.node):
        if node.op_type == "Reshape" and node.output[0] in outputs and node.input[1] in constants:
            source = outputs[node.input[0]].shape if node.input[0] in outputs else image_shape
            shapes = source, outputs[node.output[0]].shape
            _free_shape(graph, node, constants[node.input[1]], shapes, f"zfscope_shape_{number}")
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


def _free_shape(
    graph: GraphProto,
    node: NodeProto,
    constant: NDArray[Any],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    name: str,
) -> None:
    """Let an axis of a Reshape be -1, whatever is left over, so that it follows the batch.

    constant: the shape that the node asks for. shapes: of input and output for a batch of one.
    """
    source, target = shapes
    first = source.index(1) if 1 in source else None
    # An axis of -1 follows the batch already, unless the batch has another.
    if -1 in constant and (1 not in target or (first is not None and constant[first : first + 1] == [-1])):
        return
    axis = _batch_axis(source, target)
    if axis is not None:
        freed = np.array(target, np.int64)
        freed[axis] = -1
        graph.initializer.append(numpy_helper.from_array(freed, name))
        node.input[1] = name


def _batch_axis(source: Sequence[int], target: Sequence[int]) -> int | None:
    """Return the axis of a Reshape's output that the batch belongs to, given shapes for a batch of one.

    An axis of size 1, at the index of the input's if there are several. Without one, the batch was merged
    with another axis: in a matrix, rows are those of all images; otherwise, as the heads of an attention, the
    axis that starts where the batch of the input does.
    """
    singles = [index for index, size in enumerate(target) if size == 1]
    before = [index for index, size in enumerate(source) if size == 1]
    if singles:
        return next((index for index in singles if index in before), singles[0])
    if len(target) < 3 or not before:
        return 0 if len(target) else None
    start = prod(source[: before[0]])
    return next((index for index in range(len(target)) if prod(target[:index]) == start), None)


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
