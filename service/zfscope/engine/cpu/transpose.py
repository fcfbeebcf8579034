"""Transposed convolution on the CPU, several times as fast as torch's for the signals of a deconvnet.

Unpooled and rectified maps are mostly zero, so that only nonzero units are processed. For small windows,
torch spends more time on reordering the weights than on the convolution. And the three maps of an image do
not fill a vector register, whereas whole filters, or all phases of the pixels, do. The limits below were
measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.backward import LayerContext, window_below
from zfscope.engine.signal import Signal, channels_last_rows, clip, empty_maps, sum_type
from zfscope.networks.windows import Pair

# Up to this fraction of nonzero units, only these are processed, unless windows are a single position. The
# products of bfloat16 are several times as fast, finding these units is not.
SPARSE, SPARSE_BFLOAT16 = 1 / 6, 1 / 40

# For windows of up to this many positions, one matrix product beats a convolution.
FEW_POSITIONS = 64

# From this many seeds on, oneDNN computes that product faster than `@`: on AMD, where MKL is slow, 1.5 times.
MANY_SEEDS = 16

# For up to this many maps below, add whole filters, or compute each phase of the pixels as a separate map.
FEW_MAPS = 8


class TransposedConvolution:
    """Fast implementation of `backward.filter_transposed`."""

    def __init__(self, context: LayerContext) -> None:
        self._context = context
        assert context.layer.window is not None
        self._window = context.layer.window

    @cached_property
    def _transpose(self) -> Callable[[Tensor], Tensor]:
        """Function from signals to the maps below: the fastest for the layer's groups and dilation."""
        assert self._context.weights is not None
        weight, window = self._context.weights[0], self._window
        groups = self._context.source().shape[1] // weight.shape[1]
        if groups == 1 and window.dilation == (1, 1):
            return TransposedFilters(weight, window.stride)
        return partial(
            F.conv_transpose2d, weight=weight, stride=window.stride, groups=groups, dilation=window.dilation
        )

    def __call__(self, signal: Signal) -> Sequence[Signal]:
        """Convolve with the transposed filters, without biases (Sec 2.1)."""
        origins, _ = window_below(self._window, signal)
        below = Signal(self._transpose(signal.values), signal.images, origins)
        return [clip(below, *self._context.source().shape[2:])]


@dataclass(frozen=True)
class TransposedFilters:
    """The transposed filters of a layer, prepared once for many signals.

    weight: the layer's weights, (maps above, maps below, height, width). stride: rows and columns.
    """

    weight: Tensor
    stride: Pair

    def __call__(self, values: Tensor) -> Tensor:
        """Return the maps below, (N, maps below, ...), for values (N, maps above, rows, columns)."""
        few_maps, positions = self.weight.shape[1] <= FEW_MAPS, self.weight[0, 0].numel()
        sparse = SPARSE_BFLOAT16 if values.dtype == torch.bfloat16 else SPARSE
        if positions > 1 and _count_nonzero(values) <= sparse * values.numel():
            if few_maps:
                return transpose_by_filter(values, self.filter_rows, self.weight.shape[1], self.stride)
            return transpose_by_tap(values, self.taps, self.stride)
        if few_maps and self.stride[0] == self.stride[1] > 1:
            return self._by_phases(values)
        if values.shape[2] * values.shape[3] <= FEW_POSITIONS:
            return transpose_dense(values, self.weight, self.stride)
        return F.conv_transpose2d(values, self.weight, stride=self.stride)

    def _by_phases(self, values: Tensor) -> Tensor:
        """Compute each phase of the pixels below by a separate convolution, and interleave the phases.

        Stride 2, a filter row w0 w1 w2 padded with w3 = 0, and units p and q:

            pixel            0      1      2          3      4      5
            value            p w0   p w1   p w2+q w0  q w1   q w2   0
            phase 0 (even)   p w0          p w2+q w0         q w2         = values convolved with w2 w0
            phase 1 (odd)           p w1              q w1          0     = values convolved with w3 w1
        """
        rows, columns = _size_below(values, self.weight.shape[2:], self.stride)
        reach = self.phases.shape[2:]
        phases = F.conv2d(values, self.phases, padding=(reach[0] - 1, reach[1] - 1))
        return F.pixel_shuffle(phases, self.stride[0])[..., :rows, :columns]

    @cached_property
    def phases(self) -> Tensor:
        """Weights of a forward convolution of stride 1 that computes each phase of the pixels as a map.

        Flipped, as for every transposed convolution: (maps below * stride * stride, maps above, rows,
        columns).
        """
        above, below, height, width = self.weight.shape
        stride = self.stride[0]
        rows, columns = -(-height // stride), -(-width // stride)
        split = F.pad(self.weight, (0, columns * stride - width, 0, rows * stride - height))
        split = split.view(above, below, rows, stride, columns, stride)
        flipped = split.permute(1, 3, 5, 0, 2, 4).flip(4, 5).reshape(-1, above, rows, columns)
        return flipped.contiguous(memory_format=torch.channels_last)

    @cached_property
    def taps(self) -> Tensor:
        """Weights by position in the filter: (height, width, maps above, maps below)."""
        return self.weight.permute(2, 3, 0, 1).contiguous()

    @cached_property
    def filter_rows(self) -> Tensor:
        """Weights by row of the filter: (maps above, height, width * maps below)."""
        return self.weight.permute(0, 2, 3, 1).flatten(2).contiguous()


def transpose_dense(values: Tensor, weight: Tensor, stride: Pair) -> Tensor:
    """Compute the contributions of all positions by one matrix product, and add up those that overlap.

    Side 3, stride 2, adjacent units p and q; one product gives the 9 contributions of both:

        p0 p1 p2     q0 q1 q2             p0 p1 p2+q0 q1 q2
        p3 p4 p5     q3 q4 q5    below    p3 p4 p5+q3 q4 q5
        p6 p7 p8     q6 q7 q8             p6 p7 p8+q6 q7 q8

    They are added one filter position at a time: p0 and q0 (position 0) go to every second pixel of a row.
    """
    _, maps, height, width = weight.shape
    below = _empty_below(values, maps, (height, width), stride)
    for index, part in enumerate(_products(values, weight).view(-1, height * width, maps).unbind(1)):
        _strided_view(below, values, divmod(index, width), stride).add_(_as_maps(part, values))
    return below.to(values.dtype)


def _products(values: Tensor, weight: Tensor) -> Tensor:
    """Return the contributions of each position above, (positions, height * width * maps below)."""
    filters = weight.permute(0, 2, 3, 1).flatten(1)
    if len(values) < MANY_SEEDS:
        return channels_last_rows(values).flatten(0, 1) @ filters
    # As a convolution of side 1. With fewer seeds, torch would not use oneDNN for it.
    products = F.conv2d(values, filters.T[:, :, None, None])
    return channels_last_rows(products).flatten(0, 1)


def transpose_by_tap(values: Tensor, taps: Tensor, stride: Pair) -> Tensor:
    """Add the filters of the nonzero units, scaled by their signal, to the maps below.

    Like `transpose_dense`, one filter position at a time, but reads only the weights of nonzero units, here 2
    of 5:

        signal at a position    . a . . b     position 0 of the filter    a * taps[0, 1] + b * taps[0, 4]
                                0 1 2 3 4                                 (the sum of a bag of two rows)

    taps: weights by position in the filter, (height, width, maps above, maps below).
    """
    height, width, _, maps = taps.shape
    below = _empty_below(values, maps, (height, width), stride)
    signal, maps_above, starts = nonzero_units(channels_last_rows(values).flatten(0, 1))
    for index, weights in enumerate(taps.flatten(0, 1)):
        # A bag is a position above: the sum of the weights of its units, each scaled by its signal.
        part = F.embedding_bag(maps_above, weights, starts, mode="sum", per_sample_weights=signal)
        _strided_view(below, values, divmod(index, width), stride).add_(_as_maps(part, values))
    return below.to(values.dtype)


def transpose_by_filter(values: Tensor, filters: Tensor, maps: int, stride: Pair) -> Tensor:
    """Add whole filters at once: faster than `transpose_by_tap` for few maps below.

    The scaled filters of each position are first summed to one: p, q and r for three adjacent positions. With
    side 3 and stride 2, filters of positions at a distance of `apart` = 2 do not overlap and are added in one
    operation through a view, first p and r, then q:

        strip     p p p . r r r       the strips of a row of positions, one per row of the filter, are then
                +  . . q q q . .      added to the rows below: row y of the filter to rows y, y + 2, y + 4 ...
                = p p x q x r r

    filters: (maps above, height, width * maps below). maps: number of maps below.
    """
    _, height, span = filters.shape
    width, (down, right) = span // maps, stride
    apart = -(-width // right)
    seeds, _, rows, columns = values.shape
    signal, maps_above, starts = nonzero_units(channels_last_rows(values).flatten(0, 1))
    parts = F.embedding_bag(maps_above, filters.flatten(1), starts, mode="sum", per_sample_weights=signal)
    parts = parts.view(seeds, rows, columns, height, span)
    below = _empty_below(values, maps, (height, width), stride)
    # First add the filters of each row of positions into strips, then the strips into the rows below.
    strips = below.new_zeros(seeds, rows, height, below.shape[3] * maps)
    for first in range(min(apart, columns)):
        under = strips[..., first * right * maps :].unfold(3, span, apart * right * maps)
        under.add_(parts[:, :, first::apart].transpose(2, 3))
    lines = below.permute(0, 2, 3, 1).flatten(2)
    for y, strip in enumerate(strips.unbind(2)):
        lines[:, y : y + rows * down : down].add_(strip)
    return below.to(values.dtype)


def _empty_below(values: Tensor, maps: int, kernel: Sequence[int], stride: Pair) -> Tensor:
    """Return zeros to which contributions are added, in the precision of sums."""
    size = _size_below(values, kernel, stride)
    return empty_maps(values, len(values), maps, *size, dtype=sum_type(values))


def _size_below(values: Tensor, kernel: Sequence[int], stride: Pair) -> Pair:
    rows, columns = ((n - 1) * s + k for n, s, k in zip(values.shape[2:], stride, kernel, strict=True))
    return rows, columns


def _strided_view(below: Tensor, values: Tensor, position: Pair, stride: Pair) -> Tensor:
    """Return a view of the pixels below that position (y, x) of the filter contributes to."""
    (y, x), (down, right), (rows, columns) = position, stride, values.shape[2:]
    return below[:, :, y : y + rows * down : down, x : x + columns * right : right]


def _as_maps(part: Tensor, values: Tensor) -> Tensor:
    """Return (positions above, maps below) as (seeds, maps below, rows above, columns above)."""
    seeds, _, rows, columns = values.shape
    return part.view(seeds, rows, columns, -1).permute(0, 3, 1, 2)


def nonzero_units(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the nonzero values of (positions, maps), their maps, and the first index of each position.

    Uses numpy where it is several times as fast as torch.
    """
    # numpy lacks bfloat16, but its bits are enough here: among other nonzero values, they count -0.
    numbers = (values.view(torch.int16) if values.dtype == torch.bfloat16 else values).numpy()
    indices = _true_indices(torch.from_numpy(numbers != 0).reshape(-1))
    signal = torch.from_numpy(numbers.ravel()[indices]).view(values.dtype)
    positions, maps = np.uint32(values.shape[0]), np.uint32(values.shape[1])
    above = indices.astype(np.uint32)  # division of 64-bit integers is several times slower
    at = above // maps
    counts = np.bincount(at, minlength=positions)
    starts = torch.from_numpy(np.cumsum(counts) - counts)
    return signal, torch.from_numpy((above - at * maps).astype(np.int64)), starts


def _true_indices(mask: Tensor) -> NDArray[np.int64]:
    """Return the indices of true values, (n,): by torch if it has several cores, else by numpy (faster)."""
    if torch.get_num_threads() > 1:
        return mask.nonzero().squeeze(1).numpy()
    return np.flatnonzero(mask.numpy())


def _count_nonzero(values: Tensor) -> int:
    return int(np.count_nonzero(values.bool().numpy()))
