"""Export of networks to ONNX, with a table of nodes by kind of layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from zfscope.networks.kind_table import KindTable
from zfscope.networks.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Padding,
    ReLU,
    Shape,
    Window,
)
from zfscope.networks.spec import INPUT, NetworkSpec, shapes
from zfscope.runtimes.onnx.cache import EXPORTER_VERSION

_OPSET = 13
_IR_VERSION = 8


@dataclass(frozen=True)
class NodeInputs:
    """Names and shapes of the inputs of a layer."""

    names: tuple[str, ...]
    shapes: tuple[Shape, ...]


# Maps (layer, inputs) to nodes; the output of the last node has the layer's name.
NODES: KindTable[[NodeInputs], list[NodeProto]] = KindTable()


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


def _node(op: str, layer: Layer, inputs: Sequence[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, [layer.name], name=layer.name, **attributes)


def _window(window: Window, padding: Padding) -> dict[str, list[int]]:
    left, top, right, bottom = padding
    return {
        "kernel_shape": [window.kernel] * 2,
        "strides": [window.stride] * 2,
        "pads": [top, left, bottom, right],
    }


def _parameters(layer: Conv | Linear) -> tuple[str, str]:
    return f"{layer.name}.weight", f"{layer.name}.bias"


@NODES.row(Conv)
def _conv(layer: Conv, inputs: NodeInputs) -> list[NodeProto]:
    return [
        _node("Conv", layer, [*inputs.names, *_parameters(layer)], **_window(layer.window, layer.padding))
    ]


@NODES.row(Linear)
def _linear(layer: Linear, inputs: NodeInputs) -> list[NodeProto]:
    return [_node("Gemm", layer, [*inputs.names, *_parameters(layer)], transB=1)]


@NODES.row(MaxPool)
def _max_pool(layer: MaxPool, inputs: NodeInputs) -> list[NodeProto]:
    """Pad so that every window is complete: runtimes interpret `ceil_mode` differently."""
    _, rows, columns = inputs.shapes[0]
    padding = layer.window.whole_padding(rows, columns)
    return [_node("MaxPool", layer, inputs.names, **_window(layer.window, padding))]


@NODES.row(AvgPool)
def _avg_pool(layer: AvgPool, inputs: NodeInputs) -> list[NodeProto]:
    return [
        _node("AveragePool", layer, inputs.names, **_window(layer.window, layer.padding), count_include_pad=1)
    ]


@NODES.row(LocalResponseNorm)
def _normalise(layer: LocalResponseNorm, inputs: NodeInputs) -> list[NodeProto]:
    """Use the LRN operator where nothing is faster; it requires maps, so vectors are reshaped.

    Like `LocalResponseNorm`, LRN divides alpha by the size of the window.
    """
    constants: dict[str, Any] = {
        "size": layer.size,
        "alpha": layer.alpha,
        "beta": layer.beta,
        "bias": layer.k,
    }
    if layer.window:
        return _normalise_within(layer, layer.window, inputs)
    if len(inputs.shapes[0]) == 3 and layer.beta == 0.75:
        return _normalise_by_roots(layer, inputs)
    if len(inputs.shapes[0]) == 3:
        return [_node("LRN", layer, inputs.names, **constants)]
    maps, normal, axes = (f"{layer.name}/{part}" for part in ("maps", "normal", "axes"))
    return [
        _constant(axes, np.array([2, 3])),
        helper.make_node("Unsqueeze", [*inputs.names, axes], [maps]),
        helper.make_node("LRN", [maps], [normal], **constants),
        _node("Squeeze", layer, [normal, axes]),
    ]


def _normalise_by_roots(layer: LocalResponseNorm, inputs: NodeInputs) -> list[NodeProto]:
    """Divide by sum ** 0.75 = sqrt(sum) * sqrt(sqrt(sum)), with sums by a 1 x 1 convolution over maps.

    ONNX Runtime's LRN computes a power per value, which takes a quarter of ZFNet's time; results agree to
    1e-6.
    """
    (source,), ((maps, _, _),) = inputs.names, inputs.shapes
    index = np.arange(maps)
    near = np.abs(index[:, None] - index) <= layer.size // 2
    band = np.where(near, layer.alpha / layer.size, 0).astype(np.float32)[..., None, None]
    names = ("band", "k", "squares", "sums", "root", "fourth", "power")
    filters, k, squares, sums, root, fourth, power = (f"{layer.name}/{part}" for part in names)
    return [
        _constant(filters, band),
        _constant(k, np.full(maps, layer.k, np.float32)),
        helper.make_node("Mul", [source, source], [squares]),
        helper.make_node("Conv", [squares, filters, k], [sums], kernel_shape=[1, 1]),
        helper.make_node("Sqrt", [sums], [root]),
        helper.make_node("Sqrt", [root], [fourth]),
        helper.make_node("Mul", [root, fourth], [power]),
        _node("Div", layer, [source, power]),
    ]


def _constant(name: str, value: NDArray[Any]) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))


def _normalise_within(layer: LocalResponseNorm, window: Window, inputs: NodeInputs) -> list[NodeProto]:
    """Compute x * (k + alpha * mean of squares) ** -beta, which has no operator in ONNX."""
    part = {name: f"{layer.name}/{name}" for name in ("square", "mean", "scaled", "divisor", "power")}
    constants = {"alpha": layer.alpha, "k": layer.k, "exponent": -layer.beta}
    values = {name: f"{layer.name}/{name}" for name in constants}
    mean: dict[str, Any] = _window(window, window.padding)
    make = helper.make_node
    return [
        *(make("Constant", [], [values[name]], value_float=value) for name, value in constants.items()),
        make("Mul", [*inputs.names, *inputs.names], [part["square"]]),
        make("AveragePool", [part["square"]], [part["mean"]], count_include_pad=1, **mean),
        make("Mul", [part["mean"], values["alpha"]], [part["scaled"]]),
        make("Add", [part["scaled"], values["k"]], [part["divisor"]]),
        make("Pow", [part["divisor"], values["exponent"]], [part["power"]]),
        _node("Mul", layer, [*inputs.names, part["power"]]),
    ]


@NODES.row(ReLU)
def _relu(layer: ReLU, inputs: NodeInputs) -> list[NodeProto]:
    return [_node("Relu", layer, inputs.names)]


@NODES.row(Flatten)
def _flatten(layer: Flatten, inputs: NodeInputs) -> list[NodeProto]:
    return [_node("Flatten", layer, inputs.names, axis=1)]


@NODES.row(Dropout)
def _identity(layer: Dropout, inputs: NodeInputs) -> list[NodeProto]:
    return [_node("Identity", layer, inputs.names)]


@NODES.row(Concat)
def _concat(layer: Concat, inputs: NodeInputs) -> list[NodeProto]:
    return [_node("Concat", layer, inputs.names, axis=1)]


@NODES.row(Add)
def _add(layer: Add, inputs: NodeInputs) -> list[NodeProto]:
    return [_node("Sum", layer, inputs.names)]
