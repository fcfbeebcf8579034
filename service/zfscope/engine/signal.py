"""A signal on its way down: for every seed a window of a layer's maps, zero outside of it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Signal:
    """What comes down to a layer, for a batch of seeds.

    values: (seeds, maps, rows, columns) of a window, or (seeds, units) of a fully connected layer.
    images: (seeds,), which image of the trace each seed belongs to.
    origins: (seeds, 2), the row and column of each window's first place; windows have one size and
    may overhang the map, with zeros there.
    """

    values: Tensor
    images: Tensor
    origins: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the windows."""
        return self.values.shape[2], self.values.shape[3]

    def chosen(self, seeds: slice | list[int]) -> "Signal":
        """Give some of the seeds."""
        return Signal(self.values[seeds], self.images[seeds], self.origins[seeds])

    def with_values(self, values: Tensor) -> "Signal":
        """Give the same windows with other values."""
        return Signal(values, self.images, self.origins)


def cut(maps: Tensor, signal: Signal) -> Tensor:
    """Cut each seed's window out of its image's maps: (N, C, H, W) to (seeds, C, rows, columns).

    Zero where a window overhangs, as the signal is there. Of units, (N, F), there are no windows.
    """
    if maps.dim() == 2 or _is_whole(signal, *maps.shape[2:]):
        return maps[signal.images]
    windows = empty_maps(maps, len(signal.images), maps.shape[1], *signal.size)
    for row, image in enumerate(signal.images.tolist()):
        in_map, in_window = _overlap(signal, row, *maps.shape[2:])
        windows[row][in_window] = maps[image][in_map]
    return windows


def clipped(signal: Signal, rows: int, columns: int) -> Signal:
    """Clear what overhangs a map of rows x columns: dropped where no window needs it, zero elsewhere.

    Windows as large as the map become the map.
    """
    signal = _trimmed(signal, rows, columns)
    (height, width), origins = signal.size, signal.origins.tolist()
    if height >= rows and width >= columns:
        return Signal(on_canvas(signal, rows, columns), signal.images, torch.zeros_like(signal.origins))
    if all(0 <= y <= rows - height and 0 <= x <= columns - width for y, x in origins):
        return signal
    inside = signal.values.new_ones(len(origins), 1, rows, columns)
    return signal.with_values(signal.values * cut(inside, replace(signal, images=torch.arange(len(origins)))))


def _trimmed(signal: Signal, rows: int, columns: int) -> Signal:
    """Leave out the outer rows and columns that lie outside the map in every window."""
    tops, lefts = zip(*signal.origins.tolist(), strict=True)
    top, left = max(0, -max(tops)), max(0, -max(lefts))
    values = signal.values[:, :, top : rows - min(tops), left : columns - min(lefts)]
    return Signal(values, signal.images, signal.origins + torch.tensor([top, left]))


def on_canvas(signal: Signal, rows: int, columns: int) -> Tensor:
    """Put the windows on empty maps: (seeds, C, rows, columns)."""
    if _is_whole(signal, rows, columns):
        return signal.values
    seeds, count = signal.values.shape[:2]
    maps = empty_maps(signal.values, seeds, count, rows, columns)
    put(signal, maps)
    return maps


def empty_maps(like: Tensor, seeds: int, maps: int, rows: int, columns: int) -> Tensor:
    """Give maps of zeros, (seeds, maps, rows, columns), of the type and on the device of another tensor.

    In memory the maps of a place lie side by side, as in a trace.
    """
    return like.new_zeros(seeds, rows, columns, maps).permute(0, 3, 1, 2)


def by_place(maps: Tensor) -> Tensor:
    """Give the same numbers as (seeds, rows * columns, maps): a view, of maps that lie so."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def put(signal: Signal, maps: Iterable[Tensor]) -> None:
    """Write each window into empty maps: (C, H, W) for each seed."""
    for row, empty in enumerate(maps):
        in_map, in_window = _overlap(signal, row, *empty.shape[1:])
        empty[in_map] = signal.values[row][in_window]


def added(one: Signal, other: Signal) -> Signal:
    """Add two signals of one layer, on the smallest windows that hold both (branches meet here)."""
    if one.values.dim() == 2 or (one.size == other.size and torch.equal(one.origins, other.origins)):
        return one.with_values(one.values + other.values)
    origins = torch.minimum(one.origins, other.origins)
    ends = [part.origins + torch.tensor(part.size) for part in (one, other)]
    rows, columns = (torch.maximum(*ends) - origins).amax(0).tolist()
    moved = [Signal(part.values, part.images, part.origins - origins) for part in (one, other)]
    return Signal(
        on_canvas(moved[0], rows, columns) + on_canvas(moved[1], rows, columns), one.images, origins
    )


def _is_whole(signal: Signal, rows: int, columns: int) -> bool:
    return signal.size == (rows, columns) and not signal.origins.any()


Area = tuple[slice, slice, slice]
"""A part of maps: all of them, some rows, some columns."""


def _overlap(signal: Signal, row: int, rows: int, columns: int) -> tuple[Area, Area]:
    """Give where a seed's window lies in the map, and which part of the window that is."""
    (top, left), (height, width) = signal.origins[row].tolist(), signal.size
    y, x = slice(max(top, 0), min(top + height, rows)), slice(max(left, 0), min(left + width, columns))
    return (slice(None), y, x), (slice(None), _moved(y, -top), _moved(x, -left))


def _moved(part: slice, distance: int) -> slice:
    return slice(part.start + distance, part.stop + distance)
