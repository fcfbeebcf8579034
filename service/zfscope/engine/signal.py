"""Signals of the backward pass: one window of a layer's maps per seed, zero outside the window."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Signal:
    """The signal at a layer, for a batch of seeds.

    values: (seeds, maps, rows, columns), or (seeds, units) for a fully connected layer. images: (seeds,),
    index of each seed's image in the trace. origins: (seeds, 2), row and column of each window's top left
    position. All windows have the same size; they may extend beyond the map, where their values are zero.
    """

    values: Tensor
    images: Tensor
    origins: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the windows."""
        return self.values.shape[2], self.values.shape[3]

    def select(self, seeds: slice | list[int]) -> "Signal":
        """Return the signal of some of the seeds."""
        return Signal(self.values[seeds], self.images[seeds], self.origins[seeds])

    def with_values(self, values: Tensor) -> "Signal":
        """Return the same windows with other values, in the precision of this signal."""
        return Signal(values.to(self.values.dtype), self.images, self.origins)

    def to(self, dtype: torch.dtype) -> "Signal":
        """Return the signal in another precision."""
        return Signal(self.values.to(dtype), self.images, self.origins)


def extract(maps: Tensor, signal: Signal) -> Tensor:
    """Extract each seed's window from the maps of its image: (N, C, H, W) to (seeds, C, rows, columns).

    Values beyond the map are zero. Fully connected layers, (N, units), have no windows: all units are
    returned.
    """
    if maps.dim() == 2 or _covers_map(signal, *maps.shape[2:]):
        return maps[signal.images]
    windows = empty_maps(maps, len(signal.images), maps.shape[1], *signal.size)
    for row, image in enumerate(signal.images.tolist()):
        in_map, in_window = overlap(signal, row, *maps.shape[2:])
        windows[row][in_window] = maps[image][in_map]
    return windows


def clip(signal: Signal, rows: int, columns: int) -> Signal:
    """Clip windows to a map of rows x columns. Writes to the signal's values.

    Rows and columns outside the map are cropped if they are outside in every window, and set to zero
    otherwise: all windows have the same size. Windows at least as large as the map become the whole map.
    """
    signal = _trimmed(signal, rows, columns)
    (height, width), origins = signal.size, signal.origins.tolist()
    if height >= rows and width >= columns:
        return Signal(on_canvas(signal, rows, columns), signal.images, torch.zeros_like(signal.origins))
    for values, (y, x) in zip(signal.values, origins, strict=True):
        # An empty slice costs as much as a small one; most windows are inside.
        if y < 0 or y > rows - height:
            values[:, : max(-y, 0)] = 0
            values[:, max(rows - y, 0) :] = 0
        if x < 0 or x > columns - width:
            values[:, :, : max(-x, 0)] = 0
            values[:, :, max(columns - x, 0) :] = 0
    return signal


def _trimmed(signal: Signal, rows: int, columns: int) -> Signal:
    """Crop the outer rows and columns that are outside the map in every window; keep at least one of each."""
    tops, lefts = zip(*signal.origins.tolist(), strict=True)
    height, width = signal.size
    top, left = min(max(0, -max(tops)), height - 1), min(max(0, -max(lefts)), width - 1)
    bottom, right = max(rows - min(tops), top + 1), max(columns - min(lefts), left + 1)
    values = signal.values[:, :, top:bottom, left:right]
    return Signal(values, signal.images, signal.origins + torch.tensor([top, left]))


def on_canvas(signal: Signal, rows: int, columns: int) -> Tensor:
    """Return whole maps with the windows in place, zero elsewhere: (seeds, C, rows, columns)."""
    if _covers_map(signal, rows, columns):
        return signal.values
    seeds, count = signal.values.shape[:2]
    maps = empty_maps(signal.values, seeds, count, rows, columns)
    write_into(signal, maps)
    return maps


def empty_maps(
    like: Tensor, seeds: int, maps: int, rows: int, columns: int, *, dtype: torch.dtype | None = None
) -> Tensor:
    """Return zeros of shape (seeds, maps, rows, columns) on the device of `like`.

    dtype: None for that of `like`. The memory format is channels-last, as in a trace.
    """
    return like.new_zeros(seeds, rows, columns, maps, dtype=dtype).permute(0, 3, 1, 2)


def sum_type(values: Tensor) -> torch.dtype:
    """Return the precision in which values are added up: float32 for bfloat16, else that of the values.

    A sum in bfloat16 would be rounded to 8 bits after each term.
    """
    return torch.float32 if values.dtype == torch.bfloat16 else values.dtype


def channels_last_rows(maps: Tensor) -> Tensor:
    """Return maps as (seeds, rows * columns, maps); a view if they are in channels-last format."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)


def write_into(signal: Signal, maps: Iterable[Tensor]) -> None:
    """Write each window into its seed's empty maps, (C, H, W)."""
    for row, empty in enumerate(maps):
        in_map, in_window = overlap(signal, row, *empty.shape[1:])
        empty[in_map] = signal.values[row][in_window]


def add(one: Signal, other: Signal, rows: int, columns: int) -> Signal:
    """Add two signals at a layer of rows x columns where branches meet, in windows that contain both."""
    if one.values.dim() == 2 or (one.size == other.size and torch.equal(one.origins, other.origins)):
        return one.with_values(one.values + other.values)
    origins = torch.minimum(one.origins, other.origins)
    ends = [part.origins + torch.tensor(part.size) for part in (one, other)]
    size = (torch.maximum(*ends) - origins).amax(0).tolist()
    shifted = [Signal(part.values, part.images, part.origins - origins) for part in (one, other)]
    values = on_canvas(shifted[0], *size) + on_canvas(shifted[1], *size)
    return clip(Signal(values, one.images, origins), rows, columns)


def _covers_map(signal: Signal, rows: int, columns: int) -> bool:
    return signal.size == (rows, columns) and not signal.origins.any()


# Index into (maps, rows, columns).
MapSlice = tuple[slice, slice, slice]


def overlap(signal: Signal, row: int, rows: int, columns: int) -> tuple[MapSlice, MapSlice]:
    """Return the part of the map that a seed's window covers, and the corresponding part of the window."""
    (top, left), (height, width) = signal.origins[row].tolist(), signal.size
    y, x = _common(top, height, rows), _common(left, width, columns)
    return (slice(None), y, x), (slice(None), _shift(y, -top), _shift(x, -left))


def _common(start: int, extent: int, end: int) -> slice:
    """Return the part of 0..end that a window covers; empty if the window is outside."""
    first = min(max(start, 0), end)
    return slice(first, max(first, min(start + extent, end)))


def _shift(part: slice, distance: int) -> slice:
    return slice(part.start + distance, part.stop + distance)
