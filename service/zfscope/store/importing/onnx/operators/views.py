"""Operators that reorder values: arithmetic of indices, without layers."""

from collections.abc import Sequence
from math import prod

import numpy as np

from zfscope.store.importing.onnx.builder import Builder
from zfscope.store.importing.onnx.operators.call import Call, Value, operator


@operator("Identity", "Dropout", "Cast")
def _same(builder: Builder, call: Call) -> Sequence[Value]:
    return [call.view()]


@operator("Reshape")
def _reshape(builder: Builder, call: Call) -> Sequence[Value]:
    value = call.view()
    target = [int(size) for size in call.required(1)]
    if not call.attributes.get("allowzero", 0):
        target = [value.dims[axis] if size == 0 else size for axis, size in enumerate(target)]
    return [value.reindexed(value.indices.reshape(target))]


@operator("Expand")
def _expand(builder: Builder, call: Call) -> Sequence[Value]:
    value = call.view()
    target = np.broadcast_shapes(value.dims, tuple(int(size) for size in call.required(1)))
    return [value.reindexed(np.broadcast_to(value.indices, target))]


@operator("Flatten")
def _flatten(builder: Builder, call: Call) -> Sequence[Value]:
    value, axis = call.view(), call.attributes.get("axis", 1)
    axis = axis % len(value.dims) if axis < 0 else axis
    return [value.reindexed(value.indices.reshape(prod(value.dims[:axis]), -1))]


@operator("Squeeze", "Unsqueeze")
def _squeeze(builder: Builder, call: Call) -> Sequence[Value]:
    value = call.view()
    stated = call.constant(1) if len(call.operands) > 1 else call.attributes.get("axes")
    if call.node.op_type == "Unsqueeze":
        assert stated is not None
        return [value.reindexed(np.expand_dims(value.indices, tuple(int(axis) for axis in np.ravel(stated))))]
    if stated is None:
        stated = [axis for axis, size in enumerate(value.dims) if size == 1 and axis]
    return [value.reindexed(value.indices.squeeze(tuple(int(axis) for axis in np.ravel(stated))))]


@operator("Transpose")
def _transpose(builder: Builder, call: Call) -> Sequence[Value]:
    value = call.view()
    return [value.reindexed(value.indices.transpose(call.attributes.get("perm")))]


@operator("Slice")
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


@operator("Split")
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


@operator("Gather")
def _gather(builder: Builder, call: Call) -> Sequence[Value]:
    value, axis = call.view(), call.attributes.get("axis", 0)
    return [value.reindexed(np.take(value.indices, call.required(1).astype(int), axis))]
