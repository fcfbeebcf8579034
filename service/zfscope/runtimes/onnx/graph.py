"""Export of networks to ONNX."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from zfscope.networks.layer import Layer, Shape
from zfscope.networks.spec import INPUT, NetworkSpec, shapes
from zfscope.runtimes.onnx.cache import EXPORTER_VERSION
from zfscope.runtimes.onnx.nodes import NODES, NodeInputs

_OPSET = 13
_IR_VERSION = 8


def onnx_graph(spec: NetworkSpec, weights: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return a network as an ONNX model from images (N, channels, size, size) to class scores (N, classes).

    weights: by name, such as `conv1.weight` and `conv1.bias`. N is dynamic. The output of a layer has the
    layer's name. The model is validated.
    """
    last = spec.scores
    return graph_bytes(spec, layer_nodes(spec, spec.layers), [_value(last, shapes(spec)[last])], weights)


def with_layers(graph: bytes, spec: NetworkSpec, layers: Sequence[str]) -> bytes:
    """Add the outputs of layers to a graph of `onnx_graph`, after the class scores."""
    model, known = onnx.load_from_string(graph), shapes(spec)
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(_value(name, known[name]) for name in layers if name not in present)
    data: bytes = model.SerializeToString()
    onnx.checker.check_model(data)
    return data


def layer_nodes(spec: NetworkSpec, layers: Sequence[Layer]) -> list[NodeProto]:
    """Return the nodes of some layers of a network, in order."""
    known, sources = shapes(spec), spec.sources
    nodes: list[NodeProto] = []
    for layer in layers:
        names = sources[layer.name]
        nodes += NODES[layer.kind](layer, NodeInputs(names, tuple(known[name] for name in names)))
    return nodes


def partial_graph(
    spec: NetworkSpec,
    weights: Mapping[str, NDArray[np.float32]],
    layers: Sequence[str],
    nodes: Sequence[NodeProto],
    outputs: Sequence[ValueInfoProto],
) -> bytes:
    """Return a validated graph of the part of a network that some layers need, and nodes that read them.

    weights: those of the whole network, by name, such as `conv1.weight`.
    """
    needed = spec.needed_for(layers)
    names = {layer.name for layer in needed}
    used = {key: array for key, array in weights.items() if key.rpartition(".")[0] in names}
    return graph_bytes(spec, [*layer_nodes(spec, needed), *nodes], outputs, used)


def graph_bytes(
    spec: NetworkSpec,
    nodes: Sequence[NodeProto],
    outputs: Sequence[ValueInfoProto],
    weights: Mapping[str, NDArray[np.float32]],
) -> bytes:
    """Return a validated ONNX model made of nodes that read the network's input."""
    graph = helper.make_graph(
        nodes,
        spec.name,
        [_value(INPUT, shapes(spec)[INPUT])],
        outputs,
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="zfscope",
        producer_version=str(EXPORTER_VERSION),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    data = model.SerializeToString()
    onnx.checker.check_model(data)
    return data


def _value(name: str, shape: Shape) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
