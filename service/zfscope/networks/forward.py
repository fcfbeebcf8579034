"""The forward step of each kind of layer, for training, traces and the torch runtime."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.networks.kind_table import KindTable
from zfscope.networks.layers import (
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
from zfscope.networks.normalisation import local_response_norm

# (weight, bias) of a layer; None for a layer without weights.
Weights = tuple[Tensor, Tensor] | None

# Maps (layer, inputs, weights) to the output.
FORWARD: KindTable[[Sequence[Tensor], Weights], Tensor] = KindTable()

# Maps (layer, input) to the output and the switches, for kinds whose backward step needs switches: the flat
# index y * W + x of each maximum in the unpadded map, int64, in the shape of the output.
SWITCHED: KindTable[[Tensor], tuple[Tensor, Tensor]] = KindTable()


def pad_maps(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    """Pad the maps of x, (N, C, H, W), with `value`."""
    left, top, right, bottom = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


@FORWARD.row(Conv)
def _convolve(layer: Conv, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    """Convolve; symmetric padding is left to torch's kernel, which does not copy the maps for it."""
    assert weights is not None
    left, top, right, bottom = layer.padding
    if (left, top) == (right, bottom):
        return F.conv2d(inputs[0], *weights, stride=layer.stride, padding=(top, left))
    return F.conv2d(pad_maps(inputs[0], layer.padding), *weights, stride=layer.stride)


@SWITCHED.row(MaxPool)
def max_pool(layer: MaxPool, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maximum of each window and its switch; on ties the first in row-major order."""
    if not any(layer.padding):
        ceil_mode = layer.rounding == "ceil"
        return F.max_pool2d(x, layer.kernel, layer.stride, ceil_mode=ceil_mode, return_indices=True)
    rows, columns = x.shape[-2:]
    left, top, _, _ = layer.padding
    maps = pad_maps(x, layer.window.whole_padding(rows, columns), layer.window.padding_value)
    pooled, indices = F.max_pool2d(maps, layer.kernel, layer.stride, return_indices=True)
    width = maps.shape[-1]
    return pooled, (indices // width - top) * columns + indices % width - left


@FORWARD.row(MaxPool)
def _max_pool(layer: MaxPool, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return max_pool(layer, inputs[0])[0]


@FORWARD.row(AvgPool)
def _avg_pool(layer: AvgPool, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return F.avg_pool2d(pad_maps(inputs[0], layer.padding), layer.kernel, layer.stride)


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
def _identity(layer: Dropout, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return inputs[0]


@FORWARD.row(Concat)
def _concat(layer: Concat, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return torch.cat(list(inputs), dim=1)


@FORWARD.row(Add)
def _add(layer: Add, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return torch.stack(list(inputs)).sum(0)
