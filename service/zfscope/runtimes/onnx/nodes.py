"""ONNX nodes of each kind of layer, in one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from zfscope.networks.layer import KindTable, Layer, Shape
from zfscope.networks.layers import (
    Activation,
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Multiply,
    PReLU,
    ReLU,
    Scale,
    SelectMaps,
)
from zfscope.networks.windows import Padding, Window


@dataclass(frozen=True)
class NodeInputs:
    """Names and shapes of the inputs of a layer."""

    names: tuple[str, ...]
    shapes: tuple[Shape, ...]


# Maps (layer, inputs) to nodes; the output of the last node has the layer's name.
NODES: KindTable[[NodeInputs], list[NodeProto]] = KindTable()


def _node(op: str, layer: Layer, inputs: Sequence[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, [layer.name], name=layer.name, **attributes)


def _window(window: Window, padding: Padding) -> dict[str, list[int]]:
    left, top, right, bottom = padding
    return {
        "kernel_shape": [*window.kernel],
        "strides": [*window.stride],
        "pads": [top, left, bottom, right],
    }


def _parameters(layer: Layer, inputs: NodeInputs) -> list[str]:
    return [f"{layer.name}.{part}" for part in layer.parameters(inputs.shapes[0])]


@NODES.row(Conv)
def _conv(layer: Conv, inputs: NodeInputs) -> list[NodeProto]:
    names = [*inputs.names, *_parameters(layer, inputs)]
    window = {"dilations": [*layer.window.dilation], **_window(layer.window, layer.padding)}
    return [_node("Conv", layer, names, group=layer.groups, **window)]


@NODES.row(Linear)
def _linear(layer: Linear, inputs: NodeInputs) -> list[NodeProto]:
    return [_node("Gemm", layer, [*inputs.names, *_parameters(layer, inputs)], transB=1)]


@NODES.row(MaxPool)
def _max_pool(layer: MaxPool, inputs: NodeInputs) -> list[NodeProto]:
    """Pad so that every window is complete: runtimes interpret `ceil_mode` differently."""
    _, rows, columns = inputs.shapes[0]
    padding = layer.window.whole_padding(rows, columns)
    height, width = layer.window.kernel
    left, top, right, bottom = padding
    dilated = {"dilations": [*layer.window.dilation]}
    if max(left, right) < width and max(top, bottom) < height:
        return [_node("MaxPool", layer, inputs.names, **dilated, **_window(layer.window, padding))]
    # ONNX Runtime rejects padding of the kernel's size or more, which windows with dilation may have.
    pads, value, padded = (f"{layer.name}/{part}" for part in ("pads", "value", "padded"))
    return [
        _constant(pads, np.array([0, 0, top, left, 0, 0, bottom, right])),
        _scalar(value, layer.window.padding_value),
        helper.make_node("Pad", [*inputs.names, pads, value], [padded]),
        _node("MaxPool", layer, [padded], **dilated, **_window(layer.window, Padding())),
    ]


@NODES.row(AvgPool)
def _avg_pool(layer: AvgPool, inputs: NodeInputs) -> list[NodeProto]:
    """Pad like `_max_pool`; factors exclude positions beyond the padding from the mean."""
    _, rows, columns = inputs.shapes[0]
    window: dict[str, Any] = _window(layer.window, layer.window.whole_padding(rows, columns))
    scale = layer.edge_scale(inputs.shapes[0])
    if not layer.count_include_pad or scale is None:
        included = int(layer.count_include_pad)
        return [_node("AveragePool", layer, inputs.names, **window, count_include_pad=included)]
    mean, factors = f"{layer.name}/mean", f"{layer.name}/edge_scale"
    return [
        helper.make_node("AveragePool", inputs.names, [mean], **window, count_include_pad=1),
        _constant(factors, scale),
        _node("Mul", layer, [mean, factors]),
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


@NODES.row(Clip)
def _clip(layer: Clip, inputs: NodeInputs) -> list[NodeProto]:
    bounds = {"low": layer.low, "high": layer.high}
    names = {part: f"{layer.name}/{part}" for part, value in bounds.items() if value is not None}
    return [
        *(_scalar(name, bounds[part]) for part, name in names.items()),
        _node("Clip", layer, [*inputs.names, *(names.get(part, "") for part in bounds)]),
    ]


_OPERATORS: Mapping[str, str] = {
    "leaky_relu": "LeakyRelu",
    "elu": "Elu",
    "selu": "Selu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "hard_sigmoid": "HardSigmoid",
    "softplus": "Softplus",
}


@NODES.row(Activation)
def _activation(layer: Activation, inputs: NodeInputs) -> list[NodeProto]:
    """Use one operator, or several for functions that the opset lacks."""
    if layer.function == "hard_swish":
        factor = f"{layer.name}/factor"
        return [
            helper.make_node("HardSigmoid", inputs.names, [factor], alpha=1 / 6, beta=0.5),
            _node("Mul", layer, [*inputs.names, factor]),
        ]
    if layer.function == "gelu":
        return _gelu(layer, inputs)
    constants = {"alpha": layer.alpha, "beta": layer.beta}
    attributes = {name: value for name, value in constants.items() if value is not None}
    return [_node(_OPERATORS[layer.function], layer, inputs.names, **attributes)]


def _gelu(layer: Layer, inputs: NodeInputs) -> list[NodeProto]:
    """Compute x / 2 * (1 + erf(x / sqrt(2)))."""
    root, one, half, scaled, erf, above, share = (
        f"{layer.name}/{part}" for part in ("root", "one", "half", "scaled", "erf", "above", "share")
    )
    make = helper.make_node
    return [
        *(_scalar(name, value) for name, value in ((root, 0.5**0.5), (one, 1.0), (half, 0.5))),
        make("Mul", [*inputs.names, root], [scaled]),
        make("Erf", [scaled], [erf]),
        make("Add", [erf, one], [above]),
        make("Mul", [above, half], [share]),
        _node("Mul", layer, [*inputs.names, share]),
    ]


def _scalar(name: str, value: float | None) -> NodeProto:
    return _constant(name, np.array(value, np.float32))


@NODES.row(PReLU)
def _prelu(layer: PReLU, inputs: NodeInputs) -> list[NodeProto]:
    slope, nodes = _per_map(layer, "weight", inputs)
    return [*nodes, _node("PRelu", layer, [*inputs.names, slope])]


@NODES.row(Scale)
def _scale(layer: Scale, inputs: NodeInputs) -> list[NodeProto]:
    (weight, weight_nodes), (bias, bias_nodes) = (
        _per_map(layer, part, inputs) for part in ("weight", "bias")
    )
    scaled = f"{layer.name}/scaled"
    return [
        *weight_nodes,
        *bias_nodes,
        helper.make_node("Mul", [*inputs.names, weight], [scaled]),
        _node("Add", layer, [scaled, bias]),
    ]


def _per_map(layer: Layer, part: str, inputs: NodeInputs) -> tuple[str, list[NodeProto]]:
    """Return the name of a tensor with one value per map that broadcasts to the input, and nodes for it."""
    name, shape = f"{layer.name}.{part}", inputs.shapes[0]
    if len(shape) == 1:
        return name, []
    column, target = f"{layer.name}/{part}", f"{layer.name}/{part}-shape"
    nodes = [
        _constant(target, np.array([-1, 1, 1])),
        helper.make_node("Reshape", [name, target], [column]),
    ]
    return column, nodes


@NODES.row(SelectMaps)
def _select_maps(layer: SelectMaps, inputs: NodeInputs) -> list[NodeProto]:
    maps = f"{layer.name}/maps"
    return [
        _constant(maps, np.array(layer.maps, np.int64)),
        _node("Gather", layer, [*inputs.names, maps], axis=1),
    ]


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


@NODES.row(Multiply)
def _multiply(layer: Multiply, inputs: NodeInputs) -> list[NodeProto]:
    nodes, left = [], inputs.names[0]
    for number, right in enumerate(inputs.names[1:-1]):
        product = f"{layer.name}/product{number}"
        nodes.append(helper.make_node("Mul", [left, right], [product]))
        left = product
    return [*nodes, _node("Mul", layer, [left, inputs.names[-1]])]
