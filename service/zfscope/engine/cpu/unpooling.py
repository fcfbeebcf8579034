"""Unpooling on the CPU: one scatter-add for all maps of a seed, whose addresses stay in the cache."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from zfscope.engine.backward import LayerContext, window_below
from zfscope.engine.signal import Signal, clip, empty_maps, overlap, sum_type


class Unpooling:
    """Fast implementation of `backward.unpool`.

    In channels-last memory, the m maps of a position are adjacent. The address of a value in a seed's window
    is the sum of where its pool starts in the window and where its maximum is in the pool:

        map, 6 wide          window, 3 wide        b: pool at (1, 2) of the map, thus (0, 0) of the window
        . . . . . .            origin (1, 2)          maximum at (1, 2) of the pool
        . . a . . .          a . .                    address (0 * 3 + 0) * m + (1 * 3 + 2) * m + map
        . . . . b .          . . b
        . . . . . .

    The first term depends on the pool's position in the window (`_starts`). The others depend on the switch
    and on the window's width: they are computed once for each width (`_in_pools`).
    """

    def __init__(self, context: LayerContext) -> None:
        self._context = context
        assert context.layer.window is not None
        self._window = context.layer.window
        self._by_width: dict[int, Tensor] = {}

    def __call__(self, signal: Signal) -> Sequence[Signal]:
        """Place each pooled value at its switch."""
        origins, (height, width) = window_below(self._window, signal)
        seeds, maps = signal.values.shape[:2]
        values = empty_maps(signal.values, seeds, maps, height, width, dtype=sum_type(signal.values))
        pooled = signal.values.permute(0, 2, 3, 1)
        addresses, starts = self._in_pools(width), self._starts(signal.size, width) * maps
        for row, image in enumerate(signal.images.tolist()):
            # Positions beyond the map have no switch, and no signal.
            (_, y, x), (_, below_y, below_x) = overlap(signal, row, *addresses.shape[1:3])
            targets = (addresses[image, y, x] + starts[below_y, below_x]).flatten()
            part = pooled[row, below_y, below_x].flatten().to(values.dtype)
            values[row].permute(1, 2, 0).view(-1).scatter_add_(0, targets, part)
        below = Signal(values.to(signal.values.dtype), signal.images, origins)
        return [clip(below, *self._context.source().shape[2:])]

    def _starts(self, size: tuple[int, int], width: int) -> Tensor:
        """Return the index of the start of each pool in a window: (rows, columns, 1)."""
        y, x = (torch.arange(count) * step for count, step in zip(size, self._window.stride, strict=True))
        return (y[:, None] * width + x)[:, :, None]

    def _in_pools(self, width: int) -> Tensor:
        """Return the address of each maximum from the start of its pool: (N, rows, columns, maps)."""
        if width not in self._by_width:
            y, x = self._places
            maps = y.shape[3]
            self._by_width[width] = (y * width + x) * maps + torch.arange(maps, dtype=torch.int32)
        return self._by_width[width]

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor]:
        """Row and column of each maximum in its pool: int32, (N, rows, columns, maps) each."""
        # numpy divides 32-bit integers ten times as fast as torch.
        switches = self._context.switches.permute(0, 2, 3, 1).numpy().astype(np.uint32)
        columns = np.uint32(self._context.source().shape[3])
        y = switches // columns
        x = switches - y * columns
        pads, (down, right) = self._window.padding, self._window.stride
        tops, lefts = (torch.arange(count, dtype=torch.int32) for count in switches.shape[1:3])
        return (
            torch.from_numpy(y.astype(np.int32)) - (tops * down - pads.top)[:, None, None],
            torch.from_numpy(x.astype(np.int32)) - (lefts * right - pads.left)[:, None],
        )
