"""From a simplified graph to a network with weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, numpy_helper

from zfscope.networks.layer import Layer
from zfscope.networks.layers import LocalResponseNorm
from zfscope.networks.spec import INPUT, NetworkSpec
from zfscope.store.importing.onnx.builder import Builder
from zfscope.store.importing.onnx.names import NodeOrigins, choose_names
from zfscope.store.importing.onnx.normalise import CHANNELS
from zfscope.store.importing.onnx.operators import OPERATORS, Call, Value
from zfscope.store.importing.onnx.order import in_original_order
from zfscope.store.importing.onnx.patterns import NormPattern, find_norms
from zfscope.store.importing.onnx.protobuf import describe
from zfscope.store.importing.onnx.values import View

_ALLOWED = (
    "this operator is not supported; allowed: convolutions, pooling, fully connected layers, activations, "
    "normalisation, and their sums, products and concatenations"
)

_CONSTANT = (
    "ONNX Runtime did not compute this constant in advance, since it is huge or random; export the model "
    "with its value"
)

# Further operators that are rejected with an advice.
_HINTS = dict.fromkeys(
    ("QuantizeLinear", "DynamicQuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"),
    "quantised graphs are not supported; export the model before it is quantised",
)

# Operators after the class scores, which turn them into probabilities, and those that may follow.
_PROBABILITIES = ("Softmax", "LogSoftmax")
_AFTER_PROBABILITIES = ("Identity", "Cast", "Flatten", "Reshape", "Squeeze")


class UnreadableNode(ValueError):
    """A node that no layer stands for; the graph can still be imported as a whole."""


@dataclass(frozen=True)
class GraphReading:
    """A graph as a network, with its weights by name.

    views: the graph's tensors as views of layers, for comparison with the original graph.
    """

    spec: NetworkSpec
    weights: Mapping[str, NDArray[np.float32]]
    views: Mapping[str, View]


def read_graph(
    simplified: ModelProto, original: ModelProto, image: ValueInfoProto, *, name: str, output: str = ""
) -> GraphReading:
    """Read a graph that `normalise` returned as a network. Raises ValueError, naming the node, if it is none.

    original: the graph before, for names. image: its input. output: the output to read; empty: the only one.
    """
    graph = simplified.graph
    scores = scores_tensor(graph, output)
    reading = _Reading(graph, NodeOrigins(original.graph, graph), image)
    nodes = in_original_order(_needed(graph, scores, reading.norms), original.graph)
    for node in nodes:
        reading.read(node)
    return reading.finish(name, scores)


def scores_tensor(graph: GraphProto, output: str) -> str:
    """Return the tensor of the class scores, before a softmax, that an output is computed from.

    output: its name; empty for the only one. Raises ValueError without such an output.
    """
    return _scores(graph, _output(graph, output))


def _output(graph: GraphProto, output: str) -> str:
    names = [value.name for value in graph.output]
    if not names:
        raise ValueError("the graph has no output")
    if output and output not in names:
        raise ValueError(f"output '{output}' not found; available: {', '.join(names)}")
    if not output and len(names) > 1:
        raise ValueError(f"the graph has several outputs ({', '.join(names)}); choose one with --output")
    return output or names[0]


def _scores(graph: GraphProto, output: str) -> str:
    """Return the tensor of the class scores: before a final softmax."""
    producers = {name: node for node in graph.node for name in node.output}
    tensor = scores = output
    while tensor in producers and producers[tensor].op_type in (*_PROBABILITIES, *_AFTER_PROBABILITIES):
        is_probability = producers[tensor].op_type in _PROBABILITIES
        tensor = producers[tensor].input[0]
        scores = tensor if is_probability else scores
    return scores


def _needed(graph: GraphProto, output: str, norms: Mapping[str, NormPattern]) -> Sequence[NodeProto]:
    """Return the nodes that an output depends on, in order, without those that a norm consists of."""
    needed, nodes = {output}, []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            nodes.append(node)
            norm = norms.get(node.output[0])
            needed.update([norm.source] if norm else node.input)
    return nodes[::-1]


class _Reading:
    """The state of reading a graph: tensors as constants or as views of layers."""

    def __init__(self, graph: GraphProto, origins: NodeOrigins, image: ValueInfoProto) -> None:
        self.norms = find_norms(graph)
        self._builder, self._origins = Builder(), origins
        self._as_maps = _vectors_that_become_maps(graph)
        self._values: dict[str, Value] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        self._values[image.name] = self._image(image)

    def _image(self, image: ValueInfoProto) -> View:
        _, *dims = (dim.dim_value for dim in image.type.tensor_type.shape.dim)
        channels_last = dims[0] not in CHANNELS
        shape = (dims[2], dims[0], dims[1]) if channels_last else (dims[0], dims[1], dims[2])
        self._builder.shapes[INPUT] = shape
        view = View(INPUT, shape)
        return view.reindexed(view.indices.transpose(0, 2, 3, 1)) if channels_last else view

    def read(self, node: NodeProto) -> None:
        """Read a node whose operands have been read."""
        self._builder.origin = self._origins.of(node)
        try:
            outputs = self._outputs(node)
        except ValueError as error:
            raise UnreadableNode(f"{describe(node)}: {error}") from error
        self._values.update(zip(node.output, outputs, strict=False))

    def _outputs(self, node: NodeProto) -> Sequence[Value]:
        norm = self.norms.get(node.output[0])
        if norm:
            source = self._values[norm.source]
            assert isinstance(source, View)
            layer = self._builder.maps(source).layer
            constants: Any = {**norm.constants, "size": int(norm.constants["size"])}
            return [self._builder.add(LocalResponseNorm, [layer], **constants)]
        if node.op_type in _HINTS:
            raise ValueError(_HINTS[node.op_type])
        operands = tuple(self._values[name] if name else None for name in node.input)
        if not any(isinstance(operand, View) for operand in operands):
            raise ValueError(_CONSTANT)
        if node.op_type not in OPERATORS:
            raise ValueError(_ALLOWED)
        return OPERATORS[node.op_type](self._builder, Call(node, operands, node.output[0] in self._as_maps))

    def finish(self, name: str, scores: str) -> GraphReading:
        """Return the network up to a tensor, with its layers named after their origins."""
        builder, last = self._builder, self._values.get(scores)
        if not isinstance(last, View) or last.layer == INPUT:
            raise ValueError(f"output '{scores}' does not depend on the image")
        last = self._last_layer(last)
        names = {INPUT: INPUT, **choose_names(builder.origins, reserved=[INPUT])}
        layers = [_renamed(layer, names) for layer in builder.layers]
        channels, size, _ = builder.shapes[INPUT]
        spec = NetworkSpec(name=name, input_channels=channels, input_size=size, layers=tuple(layers))
        kept = with_default_inputs(spec.needed_for([names[last.layer]]))
        spec = spec.model_copy(update={"layers": kept})
        weights = {
            f"{names[layer]}.{part}": np.require(array, requirements="W")  # the file's own are read-only
            for layer, parts in builder.weights.items()
            for part, array in parts.items()
            if names[layer] in spec.by_name
        }
        views = {
            tensor: replace(view, layer=names[view.layer])
            for tensor, view in self._values.items()
            if isinstance(view, View) and names[view.layer] in spec.by_name
        }
        return GraphReading(spec, weights, views)

    def _last_layer(self, value: View) -> View:
        """Return the class scores as the output of a layer: a vector, or maps if they have positions."""
        if value.axes is not None and len(value.shape) == 3 and value.shape[1:] != (1, 1):
            return self._builder.maps(replace(value, index=None))
        if len(value.dims) == 4 and value.dims[2:] != (1, 1):
            return self._builder.maps(value)
        return self._builder.units(value)


def _renamed(layer: Layer, names: Mapping[str, str]) -> Layer:
    inputs = tuple(names[source] for source in layer.inputs)
    return layer.model_copy(update={"name": names[layer.name], "inputs": inputs})


def with_default_inputs(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Leave out inputs that are the layer before."""
    before = [INPUT, *(layer.name for layer in layers)]
    return tuple(
        layer.model_copy(update={"inputs": ()}) if layer.inputs == (below,) else layer
        for layer, below in zip(layers, before[:-1], strict=True)
    )


def _vectors_that_become_maps(graph: GraphProto) -> set[str]:
    """Return the tensors of two axes that are later reshaped to four, directly or after further operators."""
    axes = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    found: set[str] = set()
    for node in reversed(graph.node):
        if any(axes.get(output) == 4 or output in found for output in node.output):
            found.update(name for name in node.input if axes.get(name) == 2)
    return found
