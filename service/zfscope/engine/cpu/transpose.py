"""Transposed filters on a CPU, several times as fast as torch's own on the signals that a deconvnet has.

Unpooled and rectified maps are nearly empty: only the units that have a signal are painted. Windows of a
few places are not worth what torch does to the weights first. And three maps, the pixels, fill no vector
register: whole filters do, or the pixels' phases. The limits are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.backward import LayerContext, window_below
from zfscope.engine.signal import Signal, by_place, clipped, empty_maps

SPARSE = 1 / 6
"""The share of units with a signal up to which they are painted one by one."""

FEW_PLACES = 64
"""Up to as many places in a window, one product with all weights is faster than a convolution."""

FEW_MAPS = 8
"""Up to as many maps below, filters are painted whole, and the phases of pixels are maps of their own."""


class TransposedConvolution:
    """The fast form of `backward.filter_transposed`."""

    def __init__(self, context: LayerContext) -> None:
        self._context = context
        assert context.layer.window is not None
        self._window = context.layer.window

    @cached_property
    def _filters(self) -> "TransposedFilters":
        assert self._context.weights is not None
        return TransposedFilters(self._context.weights[0], self._window.stride)

    def __call__(self, signal: Signal) -> Sequence[Signal]:
        """Apply the transposed filters. No biases (Sec 2.1)."""
        origins, _ = window_below(self._window, signal)
        below = Signal(self._filters(signal.values), signal.images, origins)
        return [clipped(below, *self._context.source().shape[2:])]


@dataclass(frozen=True)
class TransposedFilters:
    """The filters of a layer, to be applied the other way round: flipped in both directions.

    weight: (maps above, maps below, side, side), as the layer has them. Prepared once, for many signals.
    """

    weight: Tensor
    stride: int

    def __call__(self, values: Tensor) -> Tensor:
        """Give the maps below, (N, maps below, ...), of values: (N, maps above, rows, columns)."""
        few_maps = self.weight.shape[1] <= FEW_MAPS
        if _count(values) <= SPARSE * values.numel():
            if few_maps:
                return painted_whole(values, self.rows, self.stride)
            return painted(values, self.taps, self.stride)
        if few_maps and self.stride > 1:
            return self._by_phases(values)
        if values.shape[2] * values.shape[3] <= FEW_PLACES:
            return multiplied(values, self.weight, self.stride)
        return F.conv_transpose2d(values, self.weight, stride=self.stride)

    def _by_phases(self, values: Tensor) -> Tensor:
        """Convolve for each phase of the pixels below, and put these together.

        Stride 2, a row of a filter w0 w1 w2, filled up to w0 w1 w2 w3 = 0; units p and q:

            pixel            0      1      2          3      4      5
            gets             p w0   p w1   p w2+q w0  q w1   q w2   0
            phase 0 (even)   p w0          p w2+q w0         q w2         = values convolved with w2 w0
            phase 1 (odd)           p w1              q w1          0     = values convolved with w3 w1
        """
        rows, columns = ((count - 1) * self.stride + self.weight.shape[2] for count in values.shape[2:])
        phases = F.conv2d(values, self.phases, padding=self.phases.shape[2] - 1)
        return F.pixel_shuffle(phases, self.stride)[..., :rows, :columns]

    @cached_property
    def phases(self) -> Tensor:
        """The filters, flipped, that give each phase of the pixels below as a map of its own, without stride.

        (maps below * stride * stride, maps above, reach, reach): what a forward convolution applies.
        """
        above, below, side, _ = self.weight.shape
        reach = -(-side // self.stride)
        fill = reach * self.stride - side
        split = F.pad(self.weight, (0, fill, 0, fill))
        split = split.view(above, below, reach, self.stride, reach, self.stride)
        flipped = split.permute(1, 3, 5, 0, 2, 4).flip(4, 5).reshape(-1, above, reach, reach)
        return flipped.contiguous(memory_format=torch.channels_last)

    @cached_property
    def taps(self) -> Tensor:
        """The weights by place in the filter: (side, side, maps above, maps below)."""
        return self.weight.permute(2, 3, 0, 1).contiguous()

    @cached_property
    def rows(self) -> Tensor:
        """The weights by row of the filter: (maps above, side, side * maps below)."""
        return self.weight.permute(0, 2, 3, 1).flatten(2).contiguous()


def multiplied(values: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Multiply every place by all weights at once, and add up what falls on the same place below.

    Side 3, stride 2, units p and q next to each other; a product gives the 9 places of both:

        p0 p1 p2     q0 q1 q2             p0 p1 p2+q0 q1 q2
        p3 p4 p5     q3 q4 q5    below    p3 p4 p5+q3 q4 q5
        p6 p7 p8     q6 q7 q8             p6 p7 p8+q6 q7 q8

    Added one place of the filter at a time: all of place 0, p0 and q0, is every second pixel of a row.
    """
    _, maps, side, _ = weight.shape
    below = _empty_below(values, maps, side, stride)
    parts = by_place(values).flatten(0, 1) @ weight.permute(0, 2, 3, 1).flatten(1)
    for place, part in enumerate(parts.view(-1, side * side, maps).unbind(1)):
        _under(below, values, divmod(place, side), stride).add_(_as_maps(part, values))
    return below


def painted(values: Tensor, taps: Tensor, stride: int) -> Tensor:
    """Let every unit that has a signal paint its filter, scaled by it, onto the maps below.

    The same places as in `multiplied`, but of the maps above (5 here) only those with a signal are read:

        signal at a place    . a . . b     place 0 of the filter    a * taps[0, 1] + b * taps[0, 4]
                             0 1 2 3 4                              (a bag of two rows, added up)

    taps: the weights by place in the filter, (side, side, maps above, maps below).
    """
    side, _, _, maps = taps.shape
    below = _empty_below(values, maps, side, stride)
    signal, map, starts = units_with_signal(by_place(values).flatten(0, 1))
    for place, weights in enumerate(taps.flatten(0, 1)):
        # A bag is a place above: the sum of the weights of its units, each times its signal.
        part = F.embedding_bag(map, weights, starts, mode="sum", per_sample_weights=signal)
        _under(below, values, divmod(place, side), stride).add_(_as_maps(part, values))
    return below


def painted_whole(values: Tensor, filters: Tensor, stride: int) -> Tensor:
    """Paint the same, each unit its whole filter at once: for maps so few that a tap is not worth a bag.

    The units of a place are added up to one painted filter: p, q, r for three places of a row. Side 3,
    stride 2: places `apart` = 2 do not overlap, and are added at once as a view, first p and r, then q:

        strip     p p p . r r r       the strips of a row of places, one for each row of the filter, are then
                +  . . q q q . .      added to the rows below: row y of the filter to rows y, y + 2, y + 4 ...
                = p p x q x r r

    filters: (maps above, side, side * maps below).
    """
    _, side, span = filters.shape
    maps, apart = span // side, -(-side // stride)
    seeds, _, rows, columns = values.shape
    signal, map, starts = units_with_signal(by_place(values).flatten(0, 1))
    parts = F.embedding_bag(map, filters.flatten(1), starts, mode="sum", per_sample_weights=signal)
    parts = parts.view(seeds, rows, columns, side, span)
    below = _empty_below(values, maps, side, stride)
    # Along each row first: places that are `apart` do not overlap, and are added at once.
    strips = values.new_zeros(seeds, rows, side, below.shape[3] * maps)
    for first in range(min(apart, columns)):
        under = strips[..., first * stride * maps :].unfold(3, span, apart * stride * maps)
        under.add_(parts[:, :, first::apart].transpose(2, 3))
    lines = below.permute(0, 2, 3, 1).flatten(2)
    for y, strip in enumerate(strips.unbind(2)):
        lines[:, y : y + rows * stride : stride].add_(strip)
    return below


def _empty_below(values: Tensor, maps: int, side: int, stride: int) -> Tensor:
    rows, columns = ((count - 1) * stride + side for count in values.shape[2:])
    return empty_maps(values, len(values), maps, rows, columns)


def _under(below: Tensor, values: Tensor, place: tuple[int, int], stride: int) -> Tensor:
    """Give what one place (y, x) of the filter falls on, for every place of the values: a view."""
    y, x = place
    rows, columns = values.shape[2:]
    return below[:, :, y : y + rows * stride : stride, x : x + columns * stride : stride]


def _as_maps(part: Tensor, values: Tensor) -> Tensor:
    """Give (places above, maps below) as (seeds, maps below, rows above, columns above)."""
    seeds, _, rows, columns = values.shape
    return part.view(seeds, rows, columns, -1).permute(0, 3, 1, 2)


def units_with_signal(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give all that is not zero in values, (places, maps), with its map, and where each place's begin.

    Mostly by numpy, which is several times as fast as torch in this.
    """
    there = torch.from_numpy(values.numpy() != 0)
    found = _numbers_of(there.reshape(-1))
    signal, map = values.numpy().ravel()[found], found % values.shape[1]
    counts = there.sum(1)
    return torch.from_numpy(signal), torch.from_numpy(map), counts.cumsum(0) - counts


def _numbers_of(there: Tensor) -> NDArray[np.int64]:
    """Give the numbers of all that is true, (n,): torch is the faster where it has several cores."""
    if torch.get_num_threads() > 1:
        return there.nonzero().squeeze(1).numpy()
    return np.flatnonzero(there.numpy())


def _count(values: Tensor) -> int:
    return int(np.count_nonzero(values.bool().numpy()))
