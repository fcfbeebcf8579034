"""The forward step of each kind of layer, for training, traces and the torch runtime."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.networks.layer import KindTable
from zfscope.networks.layers import (
    Activation,
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Function,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Multiply,
    PReLU,
    ReLU,
    Scale,
    SelectMaps,
)
from zfscope.networks.normalisation import local_response_norm
from zfscope.networks.windows import Padding

# (weight, bias) of a layer; the bias is None for a layer without biases. None for a layer without weights.
Weights = tuple[Tensor, Tensor | None] | None

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
    x, (left, top, right, bottom) = inputs[0], layer.padding
    symmetric = (left, top) == (right, bottom)
    return F.conv2d(
        x if symmetric else pad_maps(x, layer.padding),
        *weights,
        stride=layer.stride,
        padding=(top, left) if symmetric else 0,
        dilation=layer.dilation,
        groups=layer.groups,
    )


@SWITCHED.row(MaxPool)
def max_pool(layer: MaxPool, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maximum of each window and its switch; on ties the first in row-major order."""
    if not any(layer.padding):
        ceil_mode = layer.rounding == "ceil"
        return F.max_pool2d(
            x, layer.kernel, layer.stride, 0, layer.dilation, ceil_mode=ceil_mode, return_indices=True
        )
    rows, columns = x.shape[-2:]
    left, top, _, _ = layer.padding
    maps = pad_maps(x, layer.window.whole_padding(rows, columns), layer.window.padding_value)
    pooled, indices = F.max_pool2d(maps, layer.kernel, layer.stride, 0, layer.dilation, return_indices=True)
    width = maps.shape[-1]
    return pooled, (indices // width - top) * columns + indices % width - left


@FORWARD.row(MaxPool)
def _max_pool(layer: MaxPool, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return max_pool(layer, inputs[0])[0]


@FORWARD.row(AvgPool)
def _avg_pool(layer: AvgPool, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    x = inputs[0]
    maps = pad_maps(x, layer.window.whole_padding(*x.shape[2:]))
    pooled = F.avg_pool2d(maps, layer.kernel, layer.stride)
    scale = layer.edge_scale(tuple(x.shape[1:]))
    return pooled if scale is None else pooled * torch.from_numpy(scale).to(pooled)


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


@FORWARD.row(Clip)
def _clip(layer: Clip, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return inputs[0].clamp(layer.low, layer.high)


# Activation functions by name. Each maps (values, alpha, beta) to values.
FUNCTIONS: Mapping[Function, Callable[[Tensor, Any, Any], Tensor]] = {
    "leaky_relu": lambda x, alpha, beta: F.leaky_relu(x, alpha),
    "elu": lambda x, alpha, beta: F.elu(x, alpha),
    "selu": lambda x, alpha, beta: F.selu(x),
    "tanh": lambda x, alpha, beta: x.tanh(),
    "sigmoid": lambda x, alpha, beta: x.sigmoid(),
    "hard_sigmoid": lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1),
    "hard_swish": lambda x, alpha, beta: F.hardswish(x),
    "softplus": lambda x, alpha, beta: F.softplus(x),
    "gelu": lambda x, alpha, beta: F.gelu(x),
}


@FORWARD.row(Activation)
def _activate(layer: Activation, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return FUNCTIONS[layer.function](inputs[0], layer.alpha, layer.beta)


@FORWARD.row(PReLU)
def _prelu(layer: PReLU, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    assert weights is not None
    return F.prelu(inputs[0], weights[0])


@FORWARD.row(Scale)
def _scale(layer: Scale, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    assert weights is not None
    weight, bias = (per_map(part, inputs[0]) for part in weights if part is not None)
    return torch.addcmul(bias, inputs[0], weight)


def per_map(values: Tensor, x: Tensor) -> Tensor:
    """Reshape one value per map or unit of x, (N, C, ...), to a shape that broadcasts to x."""
    return values.view(-1, *[1] * (x.dim() - 2))


@FORWARD.row(SelectMaps)
def _select_maps(layer: SelectMaps, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return inputs[0].index_select(1, torch.tensor(layer.maps, device=inputs[0].device))


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


@FORWARD.row(Multiply)
def _multiply(layer: Multiply, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    return reduce(torch.mul, inputs)
