"""The backward step of each kind of layer (Sec 2.1), in one table.

These are the reference implementations, written in plain torch operations. On the CPU, `engine.cpu` replaces
two of them by faster ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.signal import Signal, clip, extract, sum_type
from zfscope.engine.trace import Trace
from zfscope.networks.forward import FORWARD, Weights, per_map
from zfscope.networks.layer import KindTable, Layer
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
from zfscope.networks.normalisation import local_response_norm_gradient
from zfscope.networks.windows import Window

# Backward rule of a ReLU: rectify the signal (deconvnet), mask it by the forward activation (gradient),
# or both (guided).
Rule = Literal["deconvnet", "guided", "gradient"]

# Backward rule of contrast normalisation: pass the signal unchanged (ECCV text), or apply the gradient.
Normalisation = Literal["skip", "gradient"]


@dataclass(frozen=True)
class LayerContext:
    """A layer of the backward pass, with the trace, its weights and the backward rules."""

    layer: Layer
    trace: Trace
    sources: tuple[str, ...]
    weights: Weights
    rule: Rule
    normalisation: Normalisation

    @property
    def switches(self) -> Tensor:
        """Switches of a max-pooling layer: the flat index of each maximum in the map below."""
        return self.trace.switches[self.layer.name]

    def source(self, index: int = 0) -> Tensor:
        """Return one of the layer's inputs in the forward pass."""
        return self.trace.outputs[self.sources[index]]


# Maps (layer, signal at its output, context) to the signals at its inputs.
BACKWARD: KindTable[[Signal, LayerContext], Sequence[Signal]] = KindTable()


@BACKWARD.row(MaxPool)
def unpool(layer: MaxPool, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Place each pooled value at its switch; add the values of windows that share a maximum."""
    rows, columns = context.source().shape[2:]
    origins, (height, width) = window_below(layer.window, signal)
    switches = extract(context.switches, signal)
    start = origins.to(signal.values.device)[:, :, None, None, None]
    # A switch is a flat index into the whole map: convert it to a flat index into the window.
    targets = (switches // columns - start[:, 0]) * width + switches % columns - start[:, 1]
    # Positions beyond the map have no valid switch; their signal is zero and may be added anywhere.
    targets = targets.clamp(0, height * width - 1).flatten(2)
    pooled = signal.values.flatten(2).to(sum_type(signal.values))
    below = pooled.new_zeros(*targets.shape[:2], height * width).scatter_add(2, targets, pooled)
    values = below.to(signal.values.dtype).view(*targets.shape[:2], height, width)
    return [clip(Signal(values, signal.images, origins), rows, columns)]


@BACKWARD.row(ReLU)
def rectify(layer: ReLU, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Rectify the signal (deconvnet), mask it where the unit was inactive (gradient), or both (guided)."""
    values = signal.values if context.rule == "gradient" else signal.values.relu()
    if context.rule != "deconvnet":
        values = values * (extract(context.source(), signal) > 0)
    return [signal.with_values(values)]


@BACKWARD.row(Conv)
def filter_transposed(layer: Conv, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Convolve with the transposed filters, flipped vertically and horizontally; no biases (Sec 2.1)."""
    assert context.weights is not None
    origins, _ = window_below(layer.window, signal)
    values = F.conv_transpose2d(
        signal.values,
        context.weights[0],
        stride=layer.stride,
        groups=layer.groups,
        dilation=layer.dilation,
    )
    return [clip(Signal(values, signal.images, origins), *context.source().shape[2:])]


@BACKWARD.row(AvgPool)
def spread(layer: AvgPool, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Distribute each pooled value evenly over its window: the transpose of the mean."""
    origins, _ = window_below(layer.window, signal)
    maps, (rows, columns), above = signal.values.shape[1], layer.window.kernel, signal.values
    scale = layer.edge_scale(tuple(context.source().shape[1:]))
    if scale is not None:
        factors = torch.from_numpy(scale).to(above)[None, None]
        above = above * extract(factors, replace(signal, images=torch.zeros_like(signal.images)))
    if signal.size == (1, 1):  # pooling over whole maps, for which a convolution is far slower
        values = (above / (rows * columns)).repeat(1, 1, rows, columns)
    else:
        even = above.new_full((maps, 1, rows, columns), 1 / (rows * columns))
        values = F.conv_transpose2d(above, even, stride=layer.stride, groups=maps)
    return [clip(Signal(values, signal.images, origins), *context.source().shape[2:])]


@BACKWARD.row(Clip)
def rectify_clip(layer: Clip, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Treat clipping at or above zero, such as ReLU6, like a ReLU; gradient and guided mask clipped units.

    Clipping that preserves negative values does not rectify: its gradient is applied for every rule.
    """
    rectifies = layer.low is not None and layer.low >= 0
    values = signal.values.relu() if rectifies and context.rule != "gradient" else signal.values
    if rectifies and context.rule == "deconvnet":
        return [signal.with_values(values)]
    source = extract(context.source(), signal)
    inside = torch.ones_like(source, dtype=torch.bool)
    if layer.low is not None:
        inside &= source > layer.low
    if layer.high is not None:
        inside &= source < layer.high
    return [signal.with_values(values * inside)]


@BACKWARD.row(Activation)
def apply_gradient(layer: Activation, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Apply the gradient of the activation function, for every rule."""
    return [_gradient(layer, signal, context)]


@BACKWARD.row(PReLU)
def apply_slopes(layer: PReLU, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Multiply by the slope at each unit (1, or below zero the learnt one), for every rule."""
    return [_gradient(layer, signal, context)]


def _gradient(layer: Layer, signal: Signal, context: LayerContext) -> Signal:
    with torch.enable_grad():
        source = extract(context.source(), signal).to(signal.values.dtype).detach().requires_grad_()
        outputs = FORWARD[layer.kind](layer, [source], context.weights)
    (gradient,) = torch.autograd.grad(outputs, source, signal.values)
    return signal.with_values(gradient)


@BACKWARD.row(Scale)
def scale_down(layer: Scale, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Multiply by the weight of each map; no biases."""
    assert context.weights is not None
    return [signal.with_values(signal.values * per_map(context.weights[0], signal.values))]


@BACKWARD.row(SelectMaps)
def return_maps(layer: SelectMaps, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Add the signal of each map to the map that it was selected from; other maps get zero."""
    count = context.source().shape[1]
    below = signal.values.new_zeros(len(signal.values), count, *signal.values.shape[2:])
    maps = torch.tensor(layer.maps, device=below.device)
    return [signal.with_values(below.index_add(1, maps, signal.values))]


@BACKWARD.row(LocalResponseNorm)
def normalise(layer: LocalResponseNorm, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Pass the signal unchanged (ECCV Sec 2.1), or apply the gradient of contrast normalisation."""
    if context.normalisation == "skip":
        return [signal]
    # Normalisation within a map passes gradients to all positions at most `reach` away.
    reach = layer.size // 2 if layer.window else 0
    if reach:
        signal = Signal(F.pad(signal.values, (reach,) * 4), signal.images, signal.origins - reach)
    gradient = local_response_norm_gradient(extract(context.source(), signal), signal.values, layer)
    below = signal.with_values(gradient)
    return [clip(below, *context.source().shape[2:]) if reach else below]


@BACKWARD.row(Linear)
def linear_transposed(layer: Linear, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Multiply by the transposed weights of a fully connected layer; no biases."""
    assert context.weights is not None
    return [signal.with_values(signal.values @ context.weights[0])]


@BACKWARD.row(Flatten)
def unflatten(layer: Flatten, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Reshape the vector to the shape of the layer's input."""
    return [signal.with_values(signal.values.reshape(-1, *context.source().shape[1:]))]


@BACKWARD.row(Concat)
def split(layer: Concat, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Split the signal into the maps of each input."""
    sizes = [context.source(index).shape[1] for index in range(len(context.sources))]
    return [signal.with_values(part) for part in torch.split(signal.values, sizes, dim=1)]


@BACKWARD.row(Add)
def copy(layer: Add, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Pass the signal unchanged to every input of the sum."""
    return [signal] * len(context.sources)


@BACKWARD.row(Multiply)
def multiply_by_others(layer: Multiply, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Multiply the signal by the other inputs (the gradient of a product), for every rule."""
    output = context.trace.outputs[layer.name]
    sources = [context.source(index) for index in range(len(context.sources))]
    broadcast = [[a for a in range(1, output.dim()) if maps.shape[a] != output.shape[a]] for maps in sources]
    factors = [extract(maps, _first(signal, axes)) for maps, axes in zip(sources, broadcast, strict=True)]
    below = []
    for index, axes in enumerate(broadcast):
        values = prod(factors[:index] + factors[index + 1 :], start=signal.values)
        below.append(_first(signal, axes).with_values(values.sum(axes, keepdim=True) if axes else values))
    return below


def _first(signal: Signal, axes: Sequence[int]) -> Signal:
    """Return the part of a signal that matches an input which is broadcast along the given axes."""
    values, origins = signal.values, signal.origins.clone()
    for axis in axes:
        values = values.narrow(axis, 0, 1)
        if axis > 1:
            origins[:, axis - 2] = 0
    return Signal(values, signal.images, origins)


@BACKWARD.row(Dropout)
def identity(layer: Dropout, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Pass the signal unchanged: dropout is active only in training."""
    return [signal]


def reads_trace(layer: Layer, normalisation: Normalisation) -> bool:
    """Return whether the backward step of a layer depends on the photo under the rule `deconvnet`."""
    if isinstance(layer, LocalResponseNorm):
        return normalisation == "gradient"
    keeps_negatives = isinstance(layer, Clip) and (layer.low is None or layer.low < 0)
    return isinstance(layer, MaxPool) or layer.goes_back_by_gradient or keeps_negatives


def window_below(window: Window, signal: Signal) -> tuple[Tensor, tuple[int, int]]:
    """Return the origins and size of the input windows that the signal's windows are computed from."""
    rows, columns = signal.size
    before = torch.tensor([window.padding.top, window.padding.left])
    return signal.origins * torch.tensor(window.stride) - before, window.span((rows, columns))
