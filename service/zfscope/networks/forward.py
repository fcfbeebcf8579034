"""The forward step of every kind of layer: one table, used by training, tracing and serving alike."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.networks.normalisation import local_response_norm
from zfscope.networks.shapes import window_count
from zfscope.networks.spec import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Padding,
    ReLU,
)

Weights = tuple[Tensor, Tensor] | None
"""(weight, bias) of a layer, where it has any."""

Step = Callable[[Any, Sequence[Tensor], Weights], Tensor]
"""(layer, its inputs, its weights) to its output; the layer is of the kind that the table names."""


def padded(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    """Put a border of `value` around the maps of x: (N, C, H, W)."""
    left, top, right, bottom = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


def convolve(layer: Conv, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    """Filter all maps; symmetric padding is left to the kernel, which does it without a copy."""
    assert weights is not None
    left, top, right, bottom = layer.padding
    if (left, top) == (right, bottom):
        return F.conv2d(inputs[0], *weights, stride=layer.stride, padding=(top, left))
    return F.conv2d(padded(inputs[0], layer.padding), *weights, stride=layer.stride)


def max_pool(layer: MaxPool, x: Tensor) -> tuple[Tensor, Tensor]:
    """Take the largest value of each window of x: (N, C, H, W), and its switch.

    Switches: int64, as the output, the flat place y * W + x of the maximum in its (unpadded) map;
    of equal values the first in reading order.
    """
    if not any(layer.padding):
        overhanging = layer.rounding == "ceil"
        return F.max_pool2d(x, layer.kernel, layer.stride, ceil_mode=overhanging, return_indices=True)
    rows, columns = x.shape[-2:]
    left, top, _, _ = layer.padding
    room = padded(x, _reach(layer, rows, columns), value=-torch.inf)
    pooled, places = F.max_pool2d(room, layer.kernel, layer.stride, return_indices=True)
    width = room.shape[-1]
    return pooled, (places // width - top) * columns + places % width - left


def _reach(layer: MaxPool, rows: int, columns: int) -> Padding:
    """Give the padding that makes every window whole: an overhanging last one is filled up."""
    left, top, right, bottom = layer.padding
    height = window_count(rows, layer, before=top, after=bottom)
    width = window_count(columns, layer, before=left, after=right)
    need_right = (width - 1) * layer.stride + layer.kernel - columns - left
    need_bottom = (height - 1) * layer.stride + layer.kernel - rows - top
    return Padding(left, top, max(right, need_right), max(bottom, need_bottom))


def _max_pool(layer: MaxPool, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return max_pool(layer, inputs[0])[0]


def _avg_pool(layer: AvgPool, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return F.avg_pool2d(padded(inputs[0], layer.padding), layer.kernel, layer.stride)


def _linear(layer: Linear, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    assert weights is not None
    return F.linear(inputs[0], *weights)


def _flatten(layer: Flatten, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return inputs[0].flatten(1)


def _relu(layer: ReLU, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return inputs[0].relu()


def _normalise(layer: LocalResponseNorm, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return local_response_norm(inputs[0], layer)


def _same(layer: Dropout, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return inputs[0]


def _concat(layer: Concat, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return torch.cat(list(inputs), dim=1)


def _add(layer: Add, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return torch.stack(list(inputs)).sum(0)


FORWARD: Mapping[str, Step] = {
    "conv": convolve,
    "relu": _relu,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "local_response_norm": _normalise,
    "flatten": _flatten,
    "linear": _linear,
    "dropout": _same,
    "concat": _concat,
    "add": _add,
}
