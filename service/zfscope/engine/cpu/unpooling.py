"""Unpooling on the CPU by a single scatter-add for all maps of all seeds."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from zfscope.engine.backward import LayerContext, window_below
from zfscope.engine.signal import Signal, channels_last_rows, clip, empty_maps, extract


class Unpooling:
    """Fast implementation of `backward.unpool`.

    A switch is a flat index into the whole map, but values are written to a window with shorter rows. In
    channels-last memory, the m maps of a position are adjacent:

        map, 6 wide          window, 3 wide       in the map      y * 6 + x         = switch
        . . . . . .            origin (1, 2)      in the window   (y - 1) * 3 + (x - 2)
        . . a . . .          a . .                              = switch + y * (3 - 6) - (1 * 3 + 2)
        . . . . b .          . . b                              = switch + y * (width - columns) + start
        . . . . . .                               in memory       times m, plus the map's index

    The terms that depend only on the switches are computed once (`_addresses`, `_rows`). The others are added
    for each seed: `start`, and the address at which the seed's window begins.
    """

    def __init__(self, context: LayerContext) -> None:
        self._context = context
        assert context.layer.window is not None
        self._window = context.layer.window

    @cached_property
    def _rows(self) -> Tensor:
        """Row of each switch in its map."""
        return self._context.switches // self._context.source().shape[3]

    @cached_property
    def _addresses(self) -> Tensor:
        """Index of each switch in the memory of the whole maps."""
        switches = self._context.switches
        maps = switches.shape[1]
        return switches * maps + torch.arange(maps)[:, None, None]

    def __call__(self, signal: Signal) -> Sequence[Signal]:
        """Place each pooled value at its switch."""
        addresses, y = extract(self._addresses, signal), extract(self._rows, signal)
        seeds, maps = addresses.shape[:2]
        rows, columns = self._context.source().shape[2:]
        origins, (height, width) = window_below(self._window, signal)
        starts = torch.arange(seeds) * height * width - origins[:, 0] * width - origins[:, 1]
        targets = addresses.add_(y, alpha=(width - columns) * maps)
        targets += starts[:, None, None, None] * maps
        values = empty_maps(signal.values, seeds, maps, height, width)
        # Positions beyond the map have no valid switch; their signal is zero and may be added anywhere.
        targets = targets.clamp_(0, values.numel() - 1)
        flat = channels_last_rows(values).view(-1)
        flat.scatter_add_(
            0, channels_last_rows(targets).flatten(), channels_last_rows(signal.values).flatten()
        )
        return [clip(Signal(values, signal.images, origins), rows, columns)]
