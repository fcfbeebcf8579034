"""The forward step of every kind of layer: one table, used by training, tracing and serving alike."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.networks.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dropout,
    Flatten,
    KindTable,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Padding,
    ReLU,
)
from zfscope.networks.normalisation import local_response_norm

Weights = tuple[Tensor, Tensor] | None
"""(weight, bias) of a layer, where it has any."""

FORWARD: KindTable[[Sequence[Tensor], Weights], Tensor] = KindTable()
"""(layer, its inputs, its weights) to its output."""

SWITCHED: KindTable[[Tensor], tuple[Tensor, Tensor]] = KindTable()
"""(layer, its input) to its output and its switches, of the kinds whose way back needs to know these.

Switches: int64, as the output, the flat place y * W + x of each maximum in its (unpadded) map.
"""


def padded(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    """Put a border of `value` around the maps of x: (N, C, H, W)."""
    left, top, right, bottom = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


@FORWARD.row(Conv)
def _convolve(layer: Conv, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    """Filter all maps; symmetric padding is left to the kernel, which does it without a copy."""
    assert weights is not None
    left, top, right, bottom = layer.padding
    if (left, top) == (right, bottom):
        return F.conv2d(inputs[0], *weights, stride=layer.stride, padding=(top, left))
    return F.conv2d(padded(inputs[0], layer.padding), *weights, stride=layer.stride)


@SWITCHED.row(MaxPool)
def max_pool(layer: MaxPool, x: Tensor) -> tuple[Tensor, Tensor]:
    """Take the largest value of each window, and its switch; of equal values the first in reading order."""
    if not any(layer.padding):
        overhanging = layer.rounding == "ceil"
        return F.max_pool2d(x, layer.kernel, layer.stride, ceil_mode=overhanging, return_indices=True)
    rows, columns = x.shape[-2:]
    left, top, _, _ = layer.padding
    room = padded(x, layer.window.whole_padding(rows, columns), layer.window.outside)
    pooled, places = F.max_pool2d(room, layer.kernel, layer.stride, return_indices=True)
    width = room.shape[-1]
    return pooled, (places // width - top) * columns + places % width - left


@FORWARD.row(MaxPool)
def _max_pool(layer: MaxPool, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return max_pool(layer, inputs[0])[0]


@FORWARD.row(AvgPool)
def _avg_pool(layer: AvgPool, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return F.avg_pool2d(padded(inputs[0], layer.padding), layer.kernel, layer.stride)


@FORWARD.row(Linear)
def _linear(layer: Linear, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    assert weights is not None
    return F.linear(inputs[0], *weights)


@FORWARD.row(Flatten)
def _flatten(layer: Flatten, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return inputs[0].flatten(1)


@FORWARD.row(ReLU)
def _relu(layer: ReLU, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return inputs[0].relu()


@FORWARD.row(LocalResponseNorm)
def _normalise(layer: LocalResponseNorm, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return local_response_norm(inputs[0], layer)


@FORWARD.row(Dropout)
def _same(layer: Dropout, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return inputs[0]


@FORWARD.row(Concat)
def _concat(layer: Concat, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return torch.cat(list(inputs), dim=1)


@FORWARD.row(Add)
def _add(layer: Add, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return torch.stack(list(inputs)).sum(0)
