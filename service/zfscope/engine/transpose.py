"""Transposed filters on a CPU, several times as fast as torch's own on the signals that a deconvnet has.

Unpooled and rectified maps are nearly empty: only the units that have a signal are painted. Windows of a
few places are not worth what torch does to the weights first. And three maps, the pixels, fill no vector
register: their phases do. The limits are measured.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.signal import by_place, empty_maps

SPARSE = 1 / 6
"""The share of units with a signal up to which they are painted one by one."""

FEW_PLACES = 64
"""Up to as many places in a window, one product with all weights is faster than a convolution."""

FEW_MAPS = 8
"""Up to as many maps below, the phases of their pixels are computed as maps of their own."""


@dataclass(frozen=True)
class TransposedFilters:
    """The filters of a layer, to be applied the other way round: flipped in both directions.

    weight: (maps above, maps below, side, side), as the layer has them. Prepared once, for many signals.
    """

    weight: Tensor
    stride: int

    def __call__(self, values: Tensor) -> Tensor:
        """Give the maps below, (N, maps below, ...), of values: (N, maps above, rows, columns)."""
        on_cpu = values.device.type == "cpu"
        if on_cpu and self.stride > 1 and self.weight.shape[1] <= FEW_MAPS:
            return self._by_phases(values)
        if on_cpu and _count(values) <= SPARSE * values.numel():
            return painted(values, self.by_row, self.stride)
        if on_cpu and values.shape[2] * values.shape[3] <= FEW_PLACES:
            return multiplied(values, self.weight, self.stride)
        return F.conv_transpose2d(values, self.weight, stride=self.stride)

    def _by_phases(self, values: Tensor) -> Tensor:
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
    def by_row(self) -> Tensor:
        """The weights by row of the filter: (side, maps above, side * maps below)."""
        return self.weight.permute(2, 0, 3, 1).flatten(2).contiguous()


def multiplied(values: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Multiply every place by all weights at once, and add up what falls on the same place below."""
    _, below, side, _ = weight.shape
    parts = by_place(values).flatten(0, 1) @ weight.permute(0, 2, 3, 1).flatten(1)
    pixels = _empty_below(values, side, below, stride)
    for y, row in enumerate(parts.view(-1, side, side, below).unbind(1)):
        _add_row(pixels, row, values, y, stride)
    return pixels


def painted(values: Tensor, by_row: Tensor, stride: int) -> Tensor:
    """Let every unit that has a signal paint its filter, scaled by it, onto the maps below.

    by_row: the weights, (side, maps above, side * maps below).
    """
    side = len(by_row)
    signal, map, starts = units_with_signal(by_place(values).flatten(0, 1))
    pixels = _empty_below(values, side, by_row.shape[2] // side, stride)
    for y, weights in enumerate(by_row):
        # A bag is a place: the sum of the weights of its units, each times its signal.
        row = F.embedding_bag(map, weights, starts, mode="sum", per_sample_weights=signal)
        _add_row(pixels, row.view(len(row), side, -1), values, y, stride)
    return pixels


def units_with_signal(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give all that is not zero in values, (places, maps), with its map, and where each place's begin.

    By numpy, which is several times as fast as torch in finding what is not zero.
    """
    flat = values.numpy().ravel()
    found = np.flatnonzero(flat != 0)
    place, map = np.divmod(found, values.shape[1])
    counts = np.bincount(place, minlength=values.shape[0])
    return torch.from_numpy(flat[found]), torch.from_numpy(map), torch.from_numpy(counts.cumsum() - counts)


def _count(values: Tensor) -> int:
    return int(np.count_nonzero(values.bool().numpy()))


def _empty_below(values: Tensor, side: int, maps: int, stride: int) -> Tensor:
    rows, columns = ((count - 1) * stride + side for count in values.shape[2:])
    return empty_maps(values, len(values), maps, rows, columns)


def _add_row(pixels: Tensor, parts: Tensor, values: Tensor, y: int, stride: int) -> None:
    """Add what one row of the filter gives at each place, (places, side, maps below), to the pixels under it.

    Places so far apart that their filters do not overlap are added at once.
    """
    seeds, _, rows, columns = values.shape
    side = parts.shape[1]
    parts = parts.reshape(seeds, rows, columns, *parts.shape[1:])
    under = pixels.permute(0, 2, 3, 1)[:, y : y + rows * stride : stride]
    apart = -(-side // stride)
    for first in range(min(apart, columns)):
        spans = under[:, :, first * stride :].unfold(2, side, apart * stride).transpose(3, 4)
        spans.add_(parts[:, :, first::apart])
