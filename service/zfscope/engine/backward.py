"""The backward step of each kind of layer (Sec 2.1), in one table.

These are the reference implementations, written in plain torch operations. On the CPU, `engine.cpu` replaces
two of them by faster ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.signal import Signal, clip, extract
from zfscope.engine.trace import Trace
from zfscope.networks.forward import Weights
from zfscope.networks.kind_table import KindTable
from zfscope.networks.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool,
    ReLU,
    Window,
)
from zfscope.networks.normalisation import local_response_norm_gradient

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
    below = signal.values.new_zeros(*targets.shape[:2], height * width)
    values = below.scatter_add(2, targets, signal.values.flatten(2)).view(*targets.shape[:2], height, width)
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
    values = F.conv_transpose2d(signal.values, context.weights[0], stride=layer.stride)
    return [clip(Signal(values, signal.images, origins), *context.source().shape[2:])]


@BACKWARD.row(AvgPool)
def spread(layer: AvgPool, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Distribute each pooled value evenly over its window: the transpose of the mean."""
    origins, _ = window_below(layer.window, signal)
    maps, side = signal.values.shape[1], layer.kernel
    even = signal.values.new_full((maps, 1, side, side), 1 / side**2)
    values = F.conv_transpose2d(signal.values, even, stride=layer.stride, groups=maps)
    return [clip(Signal(values, signal.images, origins), *context.source().shape[2:])]


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


@BACKWARD.row(Dropout)
def identity(layer: Dropout, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Pass the signal unchanged: dropout is active only in training."""
    return [signal]


def window_below(window: Window, signal: Signal) -> tuple[Tensor, tuple[int, int]]:
    """Return the origins and size of the input windows that the signal's windows are computed from."""
    rows, columns = signal.size
    origins = signal.origins * window.stride - torch.tensor([window.padding.top, window.padding.left])
    return origins, (window.span(rows), window.span(columns))
