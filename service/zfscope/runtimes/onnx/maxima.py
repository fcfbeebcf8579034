"""ONNX graphs that output only the strongest unit of each map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from zfscope.networks.spec import NetworkSpec, shapes
from zfscope.runtimes.onnx.graph import partial_graph
from zfscope.runtimes.protocol import part_names


def onnx_maxima_graph(
    spec: NetworkSpec, weights: Mapping[str, NDArray[np.float32]], layers: Sequence[str], *, sums: bool
) -> bytes:
    """Return a graph of the part of a network that some layers need, with their maxima as outputs.

    weights: those of the whole network, by name, such as `conv1.weight`. The outputs of a layer are
    `conv1/value`, `conv1/place` and, with sums, `conv1/sum`, each (N, maps); a fully connected layer has
    `fc7/value` only. The graph is validated.
    """
    known = shapes(spec)
    nodes, outputs = list[NodeProto](), list[ValueInfoProto]()
    for layer in layers:
        nodes += _strongest(layer, known[layer][-1], sums) if len(known[layer]) == 3 else _units(layer)
        parts = output_names(len(known[layer]), sums=sums)
        outputs += [_output(layer, part, known[layer][0]) for part in parts]
    return partial_graph(spec, weights, layers, nodes, outputs)


def output_names(axes: int, *, sums: bool) -> tuple[str, ...]:
    """Return the names of a layer's outputs, without the layer. axes: of its shape, without N."""
    return ("value",) if axes == 1 else part_names(sums=sums)


def _output(layer: str, part: str, maps: int) -> ValueInfoProto:
    type_ = TensorProto.INT64 if part == "place" else TensorProto.FLOAT
    return helper.make_tensor_value_info(f"{layer}/{part}", type_, ["N", maps])


def _units(layer: str) -> list[NodeProto]:
    return [helper.make_node("Identity", [layer], [f"{layer}/value"])]


def _strongest(layer: str, columns: int, sums: bool) -> list[NodeProto]:
    """Find the largest row maximum, then the first row that has it and its column there.

    This is the first maximum in row-major order. ArgMax over the flattened map finds the same, but takes 1.5
    times as long as all these nodes.
    """
    first = {"axis": 2, "keepdims": 1, "select_last_index": 0}
    nodes = [
        _node("ReduceMax", layer, [layer], "rows", axes=[3], keepdims=0),
        _node("ReduceMax", layer, [f"{layer}/rows"], "value", axes=[2], keepdims=0),
        _node("ArgMax", layer, [f"{layer}/rows"], "y", **first),
        _node("GatherND", layer, [layer, f"{layer}/y"], "row", batch_dims=2),
        _node("ArgMax", layer, [f"{layer}/row"], "x", **first),
        _constant(layer, "columns", [columns]),
        _node("Mul", layer, [f"{layer}/y", f"{layer}/columns"], "start"),
        _node("Add", layer, [f"{layer}/start", f"{layer}/x"], "flat"),
        _constant(layer, "last", [2]),
        _node("Squeeze", layer, [f"{layer}/flat", f"{layer}/last"], "place"),
    ]
    if sums:
        nodes.append(_constant(layer, "axes", [2, 3]))
        nodes.append(_node("ReduceSum", layer, [layer, f"{layer}/axes"], "sum", keepdims=0))
    return nodes


def _node(op: str, layer: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, [f"{layer}/{output}"], name=f"{layer}/{output}", **attributes)


def _constant(layer: str, name: str, values: Sequence[int]) -> NodeProto:
    value = numpy_helper.from_array(np.array(values, np.int64))
    return _node("Constant", layer, [], name, value=value)
