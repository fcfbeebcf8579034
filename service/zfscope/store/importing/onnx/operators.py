"""What each ONNX operator means as layers, in one table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from zfscope.networks.layer import Layer
from zfscope.networks.layers import (
    Activation,
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Multiply,
    PReLU,
    ReLU,
    Scale,
)
from zfscope.networks.windows import Padding
from zfscope.store.importing.onnx.builder import Builder
from zfscope.store.importing.onnx.protobuf import attributes
from zfscope.store.importing.onnx.values import View

Constant = NDArray[Any]
Value = View | Constant


@dataclass(frozen=True)
class Call:
    """A node with its operands: None for one that is left out.

    as_maps: whether a vector that the node computes becomes maps again, as in squeeze-and-excitation.
    """

    node: NodeProto
    operands: tuple[Value | None, ...]
    as_maps: bool = False

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the node by name."""
        return attributes(self.node)

    def view(self, index: int = 0) -> View:
        """Return an operand that layers compute."""
        value = self.operands[index] if index < len(self.operands) else None
        if not isinstance(value, View):
            raise ValueError(f"input {index} is constant or missing; it must be computed from the image")
        return value

    def constant(self, index: int) -> Constant | None:
        """Return a constant operand; None if it is left out."""
        value = self.operands[index] if index < len(self.operands) else None
        if isinstance(value, View):
            raise ValueError(f"input {index} is computed from the image; only constants are supported there")
        return value

    def required(self, index: int) -> Constant:
        """Return a constant operand that must not be left out."""
        value = self.constant(index)
        if value is None:
            raise ValueError(f"input {index} is missing")
        return value


# Maps an operator to a function that returns its outputs.
Reader = Callable[[Builder, Call], Sequence[Value]]
OPERATORS: dict[str, Reader] = {}


def _operator(*names: str) -> Callable[[Reader], Reader]:
    def register(reader: Reader) -> Reader:
        OPERATORS.update(dict.fromkeys(names, reader))
        return reader

    return register


@_operator("Conv")
def _conv(builder: Builder, call: Call) -> Sequence[Value]:
    weight, bias = call.required(1), call.constant(2)
    if weight.ndim != 4:
        raise ValueError(f"{weight.ndim - 2}-D convolutions are not supported, only 2-D ones")
    source = builder.maps(call.view())
    stated = call.attributes
    weights = {"weight": _float(weight)} | ({} if bias is None else {"bias": _float(bias)})
    window = _window(stated, source, weight.shape[2:])
    return [
        builder.add(
            Conv,
            [source.layer],
            weights=weights,
            channels=len(weight),
            groups=stated.get("group", 1),
            bias=bias is not None,
            **window,
            **_dilation(stated),
        )
    ]


@_operator("MaxPool", "AveragePool")
def _pool(builder: Builder, call: Call) -> Sequence[Value]:
    source, stated = builder.maps(call.view()), call.attributes
    kernel = stated["kernel_shape"]
    if len(kernel) != 2:
        raise ValueError(f"{len(kernel)}-D pooling is not supported, only 2-D")
    fields = _window(stated, source, kernel)
    fields["rounding"] = "ceil" if stated.get("ceil_mode", 0) else "floor"
    if call.node.op_type == "MaxPool":
        if len(call.node.output) > 1 and call.node.output[1]:
            raise ValueError("its second output, the positions of the maxima, is not supported")
        return [builder.add(MaxPool, [source.layer], **fields, **_dilation(stated))]
    if any(dilation != 1 for dilation in stated.get("dilations", ())):
        raise ValueError("dilations of average pooling are not supported")
    included = bool(stated.get("count_include_pad", 0)) or not any(fields["padding"])
    return [builder.add(AvgPool, [source.layer], **fields, count_include_pad=included)]


@_operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(builder: Builder, call: Call) -> Sequence[Value]:
    kind = AvgPool if call.node.op_type == "GlobalAveragePool" else MaxPool
    return [_pool_whole_maps(builder, kind, builder.maps(call.view()))]


@_operator("ReduceMean", "ReduceMax")
def _reduce(builder: Builder, call: Call) -> Sequence[Value]:
    """Read a mean or maximum over rows and columns."""
    value, stated = call.view(), call.attributes
    axes = call.constant(1) if len(call.operands) > 1 else stated.get("axes")
    count, order = len(value.dims), value.axes
    named = list(range(count)) if axes is None else [int(axis) % count for axis in np.ravel(axes)]
    if order is None or 0 in named or sorted(order[axis - 1] for axis in named) != [1, 2]:
        raise ValueError(f"only reductions over rows and columns are supported, not over axes {named}")
    source = builder.unscaled(value)
    kind = AvgPool if call.node.op_type == "ReduceMean" else MaxPool
    pooled = _pool_whole_maps(builder, kind, View(source.layer, source.shape))
    index = pooled.indices.transpose(0, *(axis + 1 for axis in order))
    return [pooled.reindexed(index if stated.get("keepdims", 1) else index.squeeze(tuple(named)))]


def _pool_whole_maps(builder: Builder, kind: type[Layer], source: View) -> View:
    return builder.add(kind, [source.layer], kernel=source.shape[1:])


@_operator("Gemm", "MatMul")
def _linear(builder: Builder, call: Call) -> Sequence[Value]:
    """Read a fully connected layer; of maps of one position, and if maps are needed again, a convolution."""
    value, weight, bias = call.view(), _float(call.required(1)), call.constant(2)
    stated = call.attributes
    matrix = weight if stated.get("transB", 0) else weight.T
    if stated.get("transA", 0) or weight.ndim != 2 or value.dims != (1, matrix.shape[1]):
        raise ValueError(f"a product of tensors of shapes {value.dims} and {weight.shape} is not supported")
    matrix = matrix * stated.get("alpha", 1.0)
    if bias is not None:
        bias = np.broadcast_to(_float(bias) * stated.get("beta", 1.0), (1, len(matrix)))[0]
    source = builder.unscaled(value)
    weights = {"weight": _columns(matrix, source)} | ({} if bias is None else {"bias": _float(bias)})
    if call.as_maps and source.shape[1:] == (1, 1):
        weights["weight"] = weights["weight"][:, :, None, None]
        maps = builder.add(
            Conv, [source.layer], weights=weights, channels=len(matrix), kernel=1, bias=bias is not None
        )
        return [maps.reindexed(maps.indices.reshape(1, len(matrix)))]
    vector = builder.vector(View(source.layer, source.shape))
    return [builder.add(Linear, [vector.layer], weights=weights, units=len(matrix), bias=bias is not None)]


def _columns(matrix: NDArray[np.float32], source: View) -> NDArray[np.float32]:
    """Return the matrix for the layer's own order of values, of which the tensor may be a reordered part."""
    if source.keeps_order:
        return _float(matrix)
    columns = np.zeros((prod(source.shape), len(matrix)), np.float32)
    np.add.at(columns, source.indices.ravel(), matrix.T)
    return _float(columns.T)


def _elementwise(builder: Builder, value: View, kind: type[Layer], **fields: Any) -> View:
    """Add a layer of single values; whatever view of the layer below is kept."""
    source = builder.unscaled(value)
    result = builder.add(kind, [source.layer], **fields)
    return source.of_layer(result.layer, result.shape)


@_operator("Relu")
def _relu(builder: Builder, call: Call) -> Sequence[Value]:
    return [_elementwise(builder, call.view(), ReLU)]


@_operator("Clip")
def _clip(builder: Builder, call: Call) -> Sequence[Value]:
    """Read clipping; after a shift, as hard sigmoid: HardSwish is x * clip(x + 3, 0, 6) / 6."""
    value, stated = call.view(), call.attributes
    low, high = _bound(call, 1, stated.get("min", -np.inf)), _bound(call, 2, stated.get("max", np.inf))
    if not value.is_unscaled and isfinite(low) and isfinite(high):
        width = high - low
        plain = replace(value, scale=1.0, offset=0.0)
        fields = {"alpha": value.scale / width, "beta": (value.offset - low) / width}
        clipped = _elementwise(builder, plain, Activation, function="hard_sigmoid", **fields)
        return [replace(clipped, scale=width, offset=low)]
    if (low, high) == (0, np.inf):
        return [_elementwise(builder, value, ReLU)]
    bounds = {"low": low if isfinite(low) else None, "high": high if isfinite(high) else None}
    return [_elementwise(builder, value, Clip, **bounds)]


def _bound(call: Call, index: int, otherwise: float) -> float:
    """Return a bound of clipping; float32's largest values mean none."""
    constant = call.constant(index)
    bound = float(constant) if constant is not None else float(otherwise)
    return bound if abs(bound) < float(np.finfo(np.float32).max) else float(np.copysign(np.inf, bound))


# Activation functions by operator, with the defaults of their constants.
_FUNCTIONS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "LeakyRelu": ("leaky_relu", {"alpha": 0.01}),
    "Elu": ("elu", {"alpha": 1.0}),
    "Selu": ("selu", {}),
    "Tanh": ("tanh", {}),
    "Sigmoid": ("sigmoid", {}),
    "HardSigmoid": ("hard_sigmoid", {"alpha": 0.2, "beta": 0.5}),
    "HardSwish": ("hard_swish", {}),
    "Softplus": ("softplus", {}),
    "Gelu": ("gelu", {}),
}


@_operator(*_FUNCTIONS)
def _activation(builder: Builder, call: Call) -> Sequence[Value]:
    function, defaults = _FUNCTIONS[call.node.op_type]
    stated = call.attributes
    if stated.get("approximate", b"none") != b"none":
        raise ValueError("only the exact form of Gelu is supported, approximate='none'")
    constants = {name: float(stated.get(name, value)) for name, value in defaults.items()}
    return [_elementwise(builder, call.view(), Activation, function=function, **constants)]


@_operator("PRelu")
def _prelu(builder: Builder, call: Call) -> Sequence[Value]:
    value = call.view()
    slope = _per_map(value, call.required(1))
    return [_elementwise(builder, value, PReLU, weights={"weight": slope})]


@_operator("BatchNormalization")
def _batch_norm(builder: Builder, call: Call) -> Sequence[Value]:
    scale, bias, mean, variance = (_float(call.required(index)).astype(np.float64) for index in range(1, 5))
    weight = scale / np.sqrt(variance + call.attributes.get("epsilon", 1e-5))
    weights = {"weight": _float(weight), "bias": _float(bias - mean * weight)}
    return [builder.add(Scale, [builder.maps(call.view()).layer], weights=weights)]


@_operator("LRN")
def _lrn(builder: Builder, call: Call) -> Sequence[Value]:
    """Read local response normalisation; alpha is as here: ONNX too divides it by the size."""
    stated = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0, **call.attributes}
    constants = {
        "size": stated["size"],
        "alpha": stated["alpha"],
        "beta": stated["beta"],
        "k": stated["bias"],
    }
    return [builder.add(LocalResponseNorm, [builder.maps(call.view()).layer], **constants)]


@_operator("Add", "Sub", "Mul", "Div", "Sum")
def _arithmetic(builder: Builder, call: Call) -> Sequence[Value]:
    """Read arithmetic of two tensors, or of a tensor and a constant."""
    operation = {"Sum": "Add"}.get(call.node.op_type, call.node.op_type)
    left, *others = call.operands
    for right in others:
        left = _binary(builder, operation, left, right)
    assert left is not None
    return [left]


def _binary(builder: Builder, operation: str, left: Value | None, right: Value | None) -> Value:
    if isinstance(left, View) and isinstance(right, View):
        return _join(builder, operation, left, right)
    if isinstance(left, View):
        assert right is not None
        return _with_constant(builder, operation, left, np.asarray(right))
    if isinstance(right, View) and operation in ("Add", "Mul"):
        return _with_constant(builder, operation, right, np.asarray(left))
    if isinstance(right, View) and operation == "Sub":
        negative = replace(right, scale=-right.scale, offset=-right.offset)
        return _with_constant(builder, "Add", negative, np.asarray(left))
    if isinstance(right, View):
        raise ValueError("division by a tensor is not supported")
    raise ValueError("arithmetic of constants only is not supported")


def _with_constant(builder: Builder, operation: str, value: View, constant: Constant) -> View:
    """Apply a number to the view, without a layer so far, or values per map as a layer."""
    constant = constant.astype(np.float64)  # 6 * (1 / 6) is 1
    if operation in ("Sub", "Div"):
        constant = -constant if operation == "Sub" else 1 / constant
    adds = operation in ("Add", "Sub")
    if constant.size == 1 and constant.ndim <= len(value.dims):
        number = float(constant.ravel()[0])
        factor, shift = (1.0, number) if adds else (number, 0.0)
        return replace(value, scale=value.scale * factor, offset=value.offset * factor + shift)
    values = _per_map(value, constant)
    ones, zeros = np.ones_like(values), np.zeros_like(values)
    weights = {"weight": ones, "bias": values} if adds else {"weight": values, "bias": zeros}
    return _elementwise(builder, value, Scale, weights=weights)


def _per_map(value: View, constant: Constant) -> NDArray[np.float32]:
    values = value.per_map(_float(constant))
    if values is None:
        raise ValueError(
            f"a constant of shape {constant.shape} with a tensor of shape {value.dims} is not supported: it "
            "must have one value, or one per map"
        )
    return values


def _join(builder: Builder, operation: str, left: View, right: View) -> View:
    """Add or multiply two tensors; factors of a product are left to its view."""
    if operation == "Div":
        raise ValueError("division by a tensor is not supported")
    if operation == "Mul":
        scale = (left.scale if left.offset == 0 else 1.0) * (right.scale if right.offset == 0 else 1.0)
        left, right = (replace(v, scale=1.0) if v.offset == 0 else v for v in (left, right))
        product = _same_view(builder, Multiply, left, right)
        return replace(product, scale=scale)
    if operation == "Sub":
        right = replace(right, scale=-right.scale, offset=-right.offset)
    return _same_view(builder, Add, left, right)


def _same_view(builder: Builder, kind: type[Layer], left: View, right: View) -> View:
    """Join two layers: whole maps, or layers of which both tensors are the same view."""
    left, right = builder.unscaled(left), builder.unscaled(right)
    same = left.shape == right.shape and left.dims == right.dims
    if same and (left.indices == right.indices).all():
        joined = builder.add(kind, [left.layer, right.layer])
        return left.of_layer(joined.layer, joined.shape)
    return builder.add(kind, [builder.maps(left).layer, builder.maps(right).layer])


@_operator("Concat")
def _concat(builder: Builder, call: Call) -> Sequence[Value]:
    """Read a concatenation of maps, in whichever order their axes are."""
    values = [call.view(index) for index in range(len(call.operands))]
    axis, orders = call.attributes["axis"] % len(values[0].dims), [value.axes for value in values]
    order = orders[0]
    if order is None or axis == 0 or len(set(orders)) > 1 or order[axis - 1] != 0:
        if axis == 1:  # parts of maps, such as slices
            order, values = (0, 1, 2), [builder.maps(value) for value in values]
        else:
            raise ValueError(f"only maps can be concatenated, not axis {axis}")
    joined = builder.add(Concat, [builder.unscaled(value).layer for value in values])
    return [joined.reindexed(joined.indices.transpose(0, *(axis + 1 for axis in order)))]


@_operator("Pad")
def _pad(builder: Builder, call: Call) -> Sequence[Value]:
    """Read padding with zeros that nothing could be merged with, as a convolution that copies maps."""
    stated = call.attributes
    pads = np.ravel(stated["pads"] if "pads" in stated else call.required(1)).astype(int).tolist()
    number = call.constant(2)
    level = stated.get("value", 0.0) if number is None else float(number)
    if not any(pads):
        return [call.view()]
    source = builder.maps(call.view())
    top, left, bottom, right = (*pads[2:4], *pads[6:8]) if len(pads) == 8 else (-1, -1, -1, -1)
    fits = len(pads) == 8 and not any((*pads[:2], *pads[4:6])) and min(pads) >= 0
    if not fits or level != 0 or stated.get("mode", b"constant") != b"constant":
        raise ValueError("only padding of rows and columns with zeros is supported")
    count = source.shape[0]
    weights = {"weight": np.ones((count, 1, 1, 1), np.float32)}
    padding = Padding(left, top, right, bottom)
    fields = {"channels": count, "kernel": 1, "groups": count, "padding": padding, "bias": False}
    return [builder.add(Conv, [source.layer], weights=weights, **fields)]


@_operator("Identity", "Dropout", "Cast")
def _same(builder: Builder, call: Call) -> Sequence[Value]:
    return [call.view()]


@_operator("Reshape")
def _reshape(builder: Builder, call: Call) -> Sequence[Value]:
    value = call.view()
    target = [int(size) for size in call.required(1)]
    if not call.attributes.get("allowzero", 0):
        target = [value.dims[axis] if size == 0 else size for axis, size in enumerate(target)]
    return [value.reindexed(value.indices.reshape(target))]


@_operator("Flatten")
def _flatten(builder: Builder, call: Call) -> Sequence[Value]:
    value, axis = call.view(), call.attributes.get("axis", 1)
    axis = axis % len(value.dims) if axis < 0 else axis
    return [value.reindexed(value.indices.reshape(prod(value.dims[:axis]), -1))]


@_operator("Squeeze", "Unsqueeze")
def _squeeze(builder: Builder, call: Call) -> Sequence[Value]:
    value = call.view()
    stated = call.constant(1) if len(call.operands) > 1 else call.attributes.get("axes")
    if call.node.op_type == "Unsqueeze":
        assert stated is not None
        return [value.reindexed(np.expand_dims(value.indices, tuple(int(axis) for axis in np.ravel(stated))))]
    if stated is None:
        stated = [axis for axis, size in enumerate(value.dims) if size == 1 and axis]
    return [value.reindexed(value.indices.squeeze(tuple(int(axis) for axis in np.ravel(stated))))]


@_operator("Transpose")
def _transpose(builder: Builder, call: Call) -> Sequence[Value]:
    value = call.view()
    return [value.reindexed(value.indices.transpose(call.attributes.get("perm")))]


@_operator("Slice")
def _slice(builder: Builder, call: Call) -> Sequence[Value]:
    value, stated = call.view(), call.attributes
    if "starts" in stated:  # up to opset 9
        starts, ends, axes, steps = stated["starts"], stated["ends"], stated.get("axes"), None
    else:
        starts, ends, axes, steps = call.required(1), call.required(2), call.constant(3), call.constant(4)
    part = [slice(None)] * len(value.dims)
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = number if axes is None else int(axes[number])
        step = 1 if steps is None else int(steps[number])
        last = None if step < 0 and int(end) < -value.dims[axis] else int(end)
        part[axis] = slice(int(start), last, step)
    return [value.reindexed(value.indices[tuple(part)])]


@_operator("Split")
def _split(builder: Builder, call: Call) -> Sequence[Value]:
    value, stated = call.view(), call.attributes
    axis, count = stated.get("axis", 0), len(call.node.output)
    sizes = call.constant(1) if len(call.operands) > 1 else stated.get("split")
    if sizes is None:
        each = -(-value.dims[axis] // count)
        ends = [each * number for number in range(1, count)]
    else:
        ends = np.cumsum(sizes)[:-1].tolist()
    return [value.reindexed(part) for part in np.split(value.indices, ends, axis)]


@_operator("Gather")
def _gather(builder: Builder, call: Call) -> Sequence[Value]:
    value, axis = call.view(), call.attributes.get("axis", 0)
    return [value.reindexed(np.take(value.indices, call.required(1).astype(int), axis))]


def _float(values: Constant) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)


def _dilation(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {"dilation": tuple(stated["dilations"])} if stated.get("dilations") else {}


def _window(stated: Mapping[str, Any], source: View, kernel: Sequence[int]) -> dict[str, Any]:
    """Return kernel, stride and padding; ONNX orders padding top, left, bottom, right."""
    strides = stated.get("strides") or [1, 1]
    dilations = stated.get("dilations") or [1, 1]
    top, left, bottom, right = stated.get("pads") or [0, 0, 0, 0]
    mode = stated.get("auto_pad", b"NOTSET").decode()
    if mode.startswith("SAME"):
        (top, bottom), (left, right) = (
            _same_padding(size, k, stride, dilation, at_end=mode == "SAME_UPPER")
            for size, k, stride, dilation in zip(source.shape[1:], kernel, strides, dilations, strict=True)
        )
    return {
        "kernel": tuple(kernel),
        "stride": tuple(strides),
        "padding": Padding(left, top, right, bottom),
    }


def _same_padding(size: int, kernel: int, stride: int, dilation: int, *, at_end: bool) -> tuple[int, int]:
    """Return the padding before and after an axis with which there are size / stride windows, rounded up."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if at_end else (more, less)
