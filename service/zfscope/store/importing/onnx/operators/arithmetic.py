"""Sums, products and concatenations."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from zfscope.networks.layer import Layer
from zfscope.networks.layers import (
    Add,
    Concat,
    Multiply,
    Scale,
)
from zfscope.store.importing.onnx.builder import Builder
from zfscope.store.importing.onnx.operators.call import (
    Call,
    Constant,
    Value,
    add_elementwise,
    operator,
    values_per_map,
)
from zfscope.store.importing.onnx.values import View


@operator("Add", "Sub", "Mul", "Div", "Sum")
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
    values = values_per_map(value, constant)
    ones, zeros = np.ones_like(values), np.zeros_like(values)
    weights = {"weight": ones, "bias": values} if adds else {"weight": values, "bias": zeros}
    return add_elementwise(builder, value, Scale, weights=weights)


def _join(builder: Builder, operation: str, left: View, right: View) -> View:
    """Add or multiply two tensors; factors of a product are left to its view."""
    if operation == "Div":
        raise ValueError("division by a tensor is not supported")
    if operation == "Mul":
        scale = (left.scale if left.offset == 0 else 1.0) * (right.scale if right.offset == 0 else 1.0)
        left, right = (replace(v, scale=1.0) if v.offset == 0 else v for v in (left, right))
        product = _same_view(builder, Multiply, _without_copies(left), _without_copies(right))
        return replace(product, scale=scale)
    if operation == "Sub":
        right = replace(right, scale=-right.scale, offset=-right.offset)
    return _same_view(builder, Add, left, right)


def _without_copies(value: View) -> View:
    """Return a factor with axes of equal values cut to one: a product repeats them again."""
    indices = value.indices
    for axis in range(2, indices.ndim):
        first = indices.take([0], axis)
        indices = first if value.index is not None and (indices == first).all() else indices
    return value.reindexed(indices)


def _same_view(builder: Builder, kind: type[Layer], left: View, right: View) -> View:
    """Join two layers: whole maps, or layers of which both tensors are the same view."""
    left, right = builder.unscaled(left), builder.unscaled(right)
    same = left.shape == right.shape and left.dims == right.dims
    if same and (left.indices == right.indices).all():
        joined = builder.add(kind, [left.layer, right.layer])
        return left.of_layer(joined.layer, joined.shape)
    return builder.add(kind, [builder.whole(left).layer, builder.whole(right).layer])


@operator("Neg")
def _negate(builder: Builder, call: Call) -> Sequence[Value]:
    value = call.view()
    return [replace(value, scale=-value.scale, offset=-value.offset)]


@operator("Concat")
def _concat(builder: Builder, call: Call) -> Sequence[Value]:
    """Read a concatenation of maps, in whichever order their axes are."""
    values = [call.view(index) for index in range(len(call.operands))]
    axis, orders = call.attributes["axis"] % len(values[0].dims), [value.axes for value in values]
    order = orders[0]
    if order is None or axis == 0 or len(set(orders)) > 1 or order[axis - 1] != 0:
        if axis != 1:
            raise ValueError(f"only maps can be concatenated, not axis {axis}")
        values = [builder.whole(value) for value in values]  # parts of maps, such as slices; vectors of maps
        order = values[0].axes
        assert order is not None
    joined = builder.add(Concat, [builder.unscaled(value).layer for value in values])
    return [joined.reindexed(joined.indices.transpose(0, *(axis + 1 for axis in order)))]
