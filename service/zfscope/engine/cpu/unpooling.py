"""Unpooling on a CPU: one addition to memory for all maps of all seeds."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from zfscope.engine.backward import LayerContext, window_below
from zfscope.engine.signal import Signal, by_place, clipped, cut, empty_maps


class Unpooling:
    """The fast form of `backward.unpool`.

    A switch is the flat place of a maximum in its whole map; the signal goes to a window of the map. Only
    rows change their length, to the window's; in memory the m maps of a place lie side by side:

        map, 6 wide          window, 3 wide       in the map      y * 6 + x         = switch
        . . . . . .            origin (1, 2)      in the window   (y - 1) * 3 + (x - 2)
        . . a . . .          a . .                              = switch + y * (3 - 6) - (1 * 3 + 2)
        . . . . b .          . . b                              = switch + y * (width - columns) + start
        . . . . . .                               in memory       times m, plus the number of the map

    What of a switch depends on its map alone is computed once (`addresses`, `rows`), the rest is an addition
    for each seed: `start`, and where the window of each seed begins.
    """

    def __init__(self, context: LayerContext) -> None:
        self._context = context
        assert context.layer.window is not None
        self._window = context.layer.window

    @cached_property
    def _rows(self) -> Tensor:
        """The row of each switch in its map."""
        return self._context.switches // self._context.source().shape[3]

    @cached_property
    def _addresses(self) -> Tensor:
        """Where each switch is in the memory of the whole maps."""
        switches = self._context.switches
        maps = switches.shape[1]
        return switches * maps + torch.arange(maps)[:, None, None]

    def __call__(self, signal: Signal) -> Sequence[Signal]:
        """Put every value where its maximum was."""
        addresses, y = cut(self._addresses, signal), cut(self._rows, signal)
        seeds, maps = addresses.shape[:2]
        rows, columns = self._context.source().shape[2:]
        origins, (height, width) = window_below(self._window, signal)
        starts = torch.arange(seeds) * height * width - origins[:, 0] * width - origins[:, 1]
        places = addresses.add_(y, alpha=(width - columns) * maps)
        places += starts[:, None, None, None] * maps
        values = empty_maps(signal.values, seeds, maps, height, width)
        # What overhangs has no switch, and no signal either: its zeros may be added anywhere.
        places = places.clamp_(0, values.numel() - 1)
        flat = by_place(values).view(-1)
        flat.scatter_add_(0, by_place(places).flatten(), by_place(signal.values).flatten())
        return [clipped(Signal(values, signal.images, origins), rows, columns)]
