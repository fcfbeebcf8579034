"""The way down through every kind of layer: one table, each step the paper's own (Sec 2.1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.signal import Signal, by_place, clipped, cut, empty_maps
from zfscope.engine.trace import Trace
from zfscope.engine.transpose import TransposedFilters
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
class Visit:
    """A layer on the way down: what it read in the trace, and how to go through it."""

    layer: Layer
    trace: Trace
    sources: tuple[str, ...]
    weights: Weights
    rule: Rule
    normalisation: Normalisation

    @cached_property
    def filters(self) -> TransposedFilters:
        """The filters of a convolution, prepared once for all signals that come by."""
        assert isinstance(self.layer, Conv)
        assert self.weights is not None
        return TransposedFilters(self.weights[0], self.layer.stride)

    @cached_property
    def switch_rows(self) -> Tensor:
        """The row of each switch of a pool."""
        return self.trace.switches[self.layer.name] // self.source().shape[3]

    @cached_property
    def switch_addresses(self) -> Tensor:
        """Where each switch of a pool is in memory, in which the maps of a place lie side by side."""
        switches = self.trace.switches[self.layer.name]
        maps = switches.shape[1]
        return switches * maps + torch.arange(maps, device=switches.device)[:, None, None]

    def source(self, place: int = 0) -> Tensor:
        """Give what the layer read on the way up."""
        return self.trace.outputs[self.sources[place]]


DOWN: Table[[Signal, Visit], Sequence[Signal]] = Table()
"""(layer, signal at its output, visit) to the signal at each of its inputs."""


@DOWN.row(MaxPool)
def unpool(layer: MaxPool, signal: Signal, visit: Visit) -> Sequence[Signal]:
    """Put the value of every pooled unit where its maximum was, adding where a unit won several windows."""
    addresses, y = cut(visit.switch_addresses, signal), cut(visit.switch_rows, signal)
    seeds, maps = addresses.shape[:2]
    rows, columns = visit.source().shape[2:]
    origins, (height, width) = _below(layer.window, signal)
    # From y * columns + x in the map to (y - top) * width + (x - left) in the seed's window.
    starts = torch.arange(seeds) * height * width - origins[:, 0] * width - origins[:, 1]
    places = addresses.add_(y, alpha=(width - columns) * maps)
    places += starts.to(places.device)[:, None, None, None] * maps
    values = empty_maps(signal.values, seeds, maps, height, width)
    # What overhangs has no switch, and no signal either: its zeros may be added anywhere.
    places = places.clamp_(0, values.numel() - 1)
    by_place(values).view(-1).scatter_add_(0, by_place(places).flatten(), by_place(signal.values).flatten())
    return [clipped(Signal(values, signal.images, origins), rows, columns)]


@DOWN.row(ReLU)
def rectify(layer: ReLU, signal: Signal, visit: Visit) -> Sequence[Signal]:
    """Keep what is positive of the signal (deconvnet), where the unit was active (gradient), or both."""
    values = signal.values if visit.rule == "gradient" else signal.values.relu()
    if visit.rule != "deconvnet":
        values = values * (cut(visit.source(), signal) > 0)
    return [signal.with_values(values)]


@DOWN.row(Conv)
def filter_transposed(layer: Conv, signal: Signal, visit: Visit) -> Sequence[Signal]:
    """Apply the transposed filters: each flipped in both directions. No biases (Sec 2.1)."""
    origins, _ = _below(layer.window, signal)
    values = visit.filters(signal.values)
    return [clipped(Signal(values, signal.images, origins), *visit.source().shape[2:])]


@DOWN.row(AvgPool)
def spread(layer: AvgPool, signal: Signal, visit: Visit) -> Sequence[Signal]:
    """Spread the value of every pooled unit evenly over its window: the transpose of taking the mean."""
    origins, _ = _below(layer.window, signal)
    maps, side = signal.values.shape[1], layer.kernel
    even = signal.values.new_full((maps, 1, side, side), 1 / side**2)
    values = F.conv_transpose2d(signal.values, even, stride=layer.stride, groups=maps)
    return [clipped(Signal(values, signal.images, origins), *visit.source().shape[2:])]


@DOWN.row(LocalResponseNorm)
def normalise(layer: LocalResponseNorm, signal: Signal, visit: Visit) -> Sequence[Signal]:
    """Pass contrast normalisation: unchanged (ECCV Sec 2.1), or by its gradient."""
    if visit.normalisation == "skip":
        return [signal]
    reach = layer.size // 2 if layer.window else 0
    wide = (
        Signal(F.pad(signal.values, (reach,) * 4), signal.images, signal.origins - reach) if reach else signal
    )
    gradient = local_response_norm_gradient(cut(visit.source(), wide), wide.values, layer)
    below = wide.with_values(gradient)
    return [clipped(below, *visit.source().shape[2:]) if reach else below]


@DOWN.row(Linear)
def full_transposed(layer: Linear, signal: Signal, visit: Visit) -> Sequence[Signal]:
    """Apply the transposed weights of a fully connected layer. No biases."""
    assert visit.weights is not None
    return [signal.with_values(signal.values @ visit.weights[0])]


@DOWN.row(Flatten)
def unflatten(layer: Flatten, signal: Signal, visit: Visit) -> Sequence[Signal]:
    """Give the vector its maps back, if it was maps."""
    return [signal.with_values(signal.values.reshape(-1, *visit.source().shape[1:]))]


@DOWN.row(Concat)
def split(layer: Concat, signal: Signal, visit: Visit) -> Sequence[Signal]:
    """Give every input its own maps."""
    sizes = [visit.source(place).shape[1] for place in range(len(visit.sources))]
    return [signal.with_values(part) for part in torch.split(signal.values, sizes, dim=1)]


@DOWN.row(Add)
def copy(layer: Add, signal: Signal, visit: Visit) -> Sequence[Signal]:
    """Give every input of a sum the whole signal."""
    return [signal] * len(visit.sources)


@DOWN.row(Dropout)
def same(layer: Dropout, signal: Signal, visit: Visit) -> Sequence[Signal]:
    """Pass dropout unchanged: it is at work in training only."""
    return [signal]


def _below(window: Window, signal: Signal) -> tuple[Tensor, tuple[int, int]]:
    """Return origin and size of the windows below: all that the windows above were computed from."""
    rows, columns = signal.size
    origins = signal.origins * window.stride - torch.tensor([window.padding.top, window.padding.left])
    return origins, (window.span(rows), window.span(columns))
