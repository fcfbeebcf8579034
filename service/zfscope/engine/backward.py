"""The way down through every kind of layer: one table, each step the paper's own (Sec 2.1).

These are the plain forms, in torch's own operations: they define what the deconvnet computes, and every
device but the CPU runs them. `engine.cpu` has fast forms of two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.signal import Signal, clipped, cut
from zfscope.engine.trace import Trace
from zfscope.networks.forward import Weights
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
    Table,
    Window,
)
from zfscope.networks.normalisation import local_response_norm_gradient

Rule = Literal["deconvnet", "guided", "gradient"]
"""What a rectification does on the way down: rectify the signal, rectify and mask it, or mask it alone."""

Normalisation = Literal["skip", "gradient"]
"""What contrast normalisation does on the way down: nothing (ECCV text), or its gradient."""


@dataclass(frozen=True)
class LayerContext:
    """A layer on the way down: what it read in the trace, and how to go through it."""

    layer: Layer
    trace: Trace
    sources: tuple[str, ...]
    weights: Weights
    rule: Rule
    normalisation: Normalisation

    @property
    def switches(self) -> Tensor:
        """The switches of a pool: of each of its units the flat place of the maximum in the map below."""
        return self.trace.switches[self.layer.name]

    def source(self, place: int = 0) -> Tensor:
        """Give what the layer read on the way up."""
        return self.trace.outputs[self.sources[place]]


DOWN: Table[[Signal, LayerContext], Sequence[Signal]] = Table()
"""(layer, signal at its output, context) to the signal at each of its inputs."""


@DOWN.row(MaxPool)
def unpool(layer: MaxPool, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Put the value of every pooled unit where its maximum was, adding where a unit won several windows."""
    rows, columns = context.source().shape[2:]
    origins, (height, width) = window_below(layer.window, signal)
    switches, start = cut(context.switches, signal), origins.to(signal.values.device)[:, :, None, None, None]
    places = (switches // columns - start[:, 0]) * width + switches % columns - start[:, 1]
    # What overhangs has no switch, and no signal either: its zeros may be added anywhere.
    places = places.clamp(0, height * width - 1).flatten(2)
    below = signal.values.new_zeros(*places.shape[:2], height * width)
    values = below.scatter_add(2, places, signal.values.flatten(2)).view(*places.shape[:2], height, width)
    return [clipped(Signal(values, signal.images, origins), rows, columns)]


@DOWN.row(ReLU)
def rectify(layer: ReLU, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Keep what is positive of the signal (deconvnet), where the unit was active (gradient), or both."""
    values = signal.values if context.rule == "gradient" else signal.values.relu()
    if context.rule != "deconvnet":
        values = values * (cut(context.source(), signal) > 0)
    return [signal.with_values(values)]


@DOWN.row(Conv)
def filter_transposed(layer: Conv, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Apply the transposed filters: each flipped in both directions. No biases (Sec 2.1)."""
    assert context.weights is not None
    origins, _ = window_below(layer.window, signal)
    values = F.conv_transpose2d(signal.values, context.weights[0], stride=layer.stride)
    return [clipped(Signal(values, signal.images, origins), *context.source().shape[2:])]


@DOWN.row(AvgPool)
def spread(layer: AvgPool, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Spread the value of every pooled unit evenly over its window: the transpose of taking the mean."""
    origins, _ = window_below(layer.window, signal)
    maps, side = signal.values.shape[1], layer.kernel
    even = signal.values.new_full((maps, 1, side, side), 1 / side**2)
    values = F.conv_transpose2d(signal.values, even, stride=layer.stride, groups=maps)
    return [clipped(Signal(values, signal.images, origins), *context.source().shape[2:])]


@DOWN.row(LocalResponseNorm)
def normalise(layer: LocalResponseNorm, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Pass contrast normalisation: unchanged (ECCV Sec 2.1), or by its gradient."""
    if context.normalisation == "skip":
        return [signal]
    reach = layer.size // 2 if layer.window else 0
    wide = (
        Signal(F.pad(signal.values, (reach,) * 4), signal.images, signal.origins - reach) if reach else signal
    )
    gradient = local_response_norm_gradient(cut(context.source(), wide), wide.values, layer)
    below = wide.with_values(gradient)
    return [clipped(below, *context.source().shape[2:]) if reach else below]


@DOWN.row(Linear)
def full_transposed(layer: Linear, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Apply the transposed weights of a fully connected layer. No biases."""
    assert context.weights is not None
    return [signal.with_values(signal.values @ context.weights[0])]


@DOWN.row(Flatten)
def unflatten(layer: Flatten, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Give the vector its maps back, if it was maps."""
    return [signal.with_values(signal.values.reshape(-1, *context.source().shape[1:]))]


@DOWN.row(Concat)
def split(layer: Concat, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Give every input its own maps."""
    sizes = [context.source(place).shape[1] for place in range(len(context.sources))]
    return [signal.with_values(part) for part in torch.split(signal.values, sizes, dim=1)]


@DOWN.row(Add)
def copy(layer: Add, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Give every input of a sum the whole signal."""
    return [signal] * len(context.sources)


@DOWN.row(Dropout)
def same(layer: Dropout, signal: Signal, context: LayerContext) -> Sequence[Signal]:
    """Pass dropout unchanged: it is at work in training only."""
    return [signal]


def window_below(window: Window, signal: Signal) -> tuple[Tensor, tuple[int, int]]:
    """Return origin and size of the windows below: all that the windows above were computed from."""
    rows, columns = signal.size
    origins = signal.origins * window.stride - torch.tensor([window.padding.top, window.padding.left])
    return origins, (window.span(rows), window.span(columns))
