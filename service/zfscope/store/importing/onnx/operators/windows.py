"""Operators with sliding windows, and means over whole maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zfscope.networks.layer import Layer
from zfscope.networks.layers import (
    AvgPool,
    Conv,
    MaxPool,
)
from zfscope.networks.windows import Padding, same_padding
from zfscope.store.importing.onnx.builder import Builder
from zfscope.store.importing.onnx.operators.call import Call, Value, as_float, operator
from zfscope.store.importing.onnx.values import View


@operator("Conv")
def _conv(builder: Builder, call: Call) -> Sequence[Value]:
    weight, bias = call.required(1), call.constant(2)
    if weight.ndim != 4:
        raise ValueError(f"{weight.ndim - 2}-D convolutions are not supported, only 2-D ones")
    source = builder.maps(call.view())
    stated = call.attributes
    weights = {"weight": as_float(weight)} | ({} if bias is None else {"bias": as_float(bias)})
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


@operator("MaxPool", "AveragePool")
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


@operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(builder: Builder, call: Call) -> Sequence[Value]:
    kind = AvgPool if call.node.op_type == "GlobalAveragePool" else MaxPool
    return [_pool_whole_maps(builder, kind, builder.maps(call.view()))]


@operator("ReduceMean", "ReduceMax")
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


@operator("Pad")
def _pad(builder: Builder, call: Call) -> Sequence[Value]:
    """Read padding with zeros that nothing could be merged with, as a convolution that copies maps."""
    stated, value = call.attributes, call.view()
    pads = np.ravel(stated["pads"] if "pads" in stated else call.required(1)).reshape(2, -1)
    number, axes = call.constant(2), call.constant(3)
    level = stated.get("value", 0.0) if number is None else float(number)
    if not pads.any():
        return [value]
    every = np.zeros((2, len(value.dims)), int)
    every[:, ... if axes is None else np.ravel(axes)] = pads
    fits = every.shape[1] == 4 and not every[:, :2].any() and every.min() >= 0
    if not fits or level != 0 or stated.get("mode", b"constant") != b"constant":
        raise ValueError("only padding of rows and columns with zeros is supported")
    source, ((top, left), (bottom, right)) = builder.maps(value), every[:, 2:].tolist()
    count = source.shape[0]
    weights = {"weight": np.ones((count, 1, 1, 1), np.float32)}
    padding = Padding(left, top, right, bottom)
    fields = {"channels": count, "kernel": 1, "groups": count, "padding": padding, "bias": False}
    return [builder.add(Conv, [source.layer], weights=weights, **fields)]


def _dilation(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {"dilation": tuple(stated["dilations"])} if stated.get("dilations") else {}


def _window(stated: Mapping[str, Any], source: View, kernel: Sequence[int]) -> dict[str, Any]:
    """Return kernel, stride and padding; ONNX orders padding top, left, bottom, right."""
    strides = stated.get("strides") or [1, 1]
    dilations = stated.get("dilations") or [1, 1]
    top, left, bottom, right = stated.get("pads") or [0, 0, 0, 0]
    padding = Padding(left, top, right, bottom)
    mode = stated.get("auto_pad", b"NOTSET").decode()
    if mode.startswith("SAME"):
        rows, columns = source.shape[1:]
        (height, width), (down, right), (y, x) = kernel, strides, dilations
        at_end = mode == "SAME_UPPER"
        padding = same_padding((rows, columns), (height, width), (down, right), (y, x), at_end=at_end)
    return {
        "kernel": tuple(kernel),
        "stride": tuple(strides),
        "padding": padding,
    }
