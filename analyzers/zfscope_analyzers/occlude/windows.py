"""Windows of the network's input that are covered, and maps made of what each of them did."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.images.preprocess import Prepared
from zfscope.results import Notice

_AT_ONCE = 2048
"""So many windows of one size are handled together at most: their pixels take memory."""


@dataclass(frozen=True, eq=False)
class Window:
    """A rectangle of the network's input that is covered: its first row and column, and its size.

    mask: which of its pixels are, bool (height, width); True for all of them. warnings: what was assumed of
    the mask's file.
    """

    y: int
    x: int
    height: int
    width: int
    mask: NDArray[np.bool_] | bool = True
    warnings: tuple[Notice, ...] = ()

    @property
    def area(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def starts(side: int, window: int, stride: int) -> list[int]:
    """Give the positions along a side; the last one is moved to the edge, so that every pixel is covered."""
    last = max(side - window, 0)
    return [*range(0, last, stride), last]


def of_one_size(windows: Sequence[Window]) -> Iterator[list[int]]:
    """Give the numbers of windows of one size, a bounded number at a time."""
    sizes = dict.fromkeys((window.height, window.width) for window in windows)
    for size in sizes:
        alike = [n for n, window in enumerate(windows) if (window.height, window.width) == size]
        for start in range(0, len(alike), _AT_ONCE):
            yield alike[start : start + _AT_ONCE]


def averaged(
    values: NDArray[np.floating], windows: Sequence[Window], size: tuple[int, int], elsewhere: float
) -> NDArray[np.float32]:
    """Give the mean of the values of all windows that cover a pixel: (H, W); `elsewhere` where none does."""
    total, count = np.zeros(size), np.zeros(size)
    for value, window in zip(values, windows, strict=True):
        total[window.area] += value * window.mask
        count[window.area] += window.mask
    return np.where(count, total / np.maximum(count, 1), elsewhere).astype(np.float32)


def likeliest_map(
    likeliest: NDArray[np.int64], windows: Sequence[Window], size: tuple[int, int], elsewhere: int
) -> NDArray[np.int64]:
    """Give for each pixel the class that most windows over it made likeliest, of equal ones the first."""
    best, most = np.full(size, elsewhere, np.int64), np.zeros(size, np.int64)
    for number in np.unique(likeliest):
        votes = np.zeros(size, np.int64)
        for place in np.flatnonzero(likeliest == number):
            votes[windows[int(place)].area] += windows[int(place)].mask
        best, most = np.where(votes > most, number, best), np.maximum(votes, most)
    return best


def on_photo(heat: NDArray[np.float32], prepared: Prepared, elsewhere: float) -> NDArray[np.float32]:
    """Spread a map of the crop over the decoded photo; pixels outside of the crop take `elsewhere`."""
    height, width = prepared.photo.shape[:2]
    region, (rows, columns) = prepared.geometries[0].resized((height, width)).region, heat.shape
    y = np.floor((np.arange(height) + 0.5 - region.y0) * rows / region.height).astype(int)
    x = np.floor((np.arange(width) + 0.5 - region.x0) * columns / region.width).astype(int)
    spread = heat[np.clip(y, 0, rows - 1)[:, None], np.clip(x, 0, columns - 1)]
    inside = ((y >= 0) & (y < rows))[:, None] & ((x >= 0) & (x < columns))
    return np.where(inside, spread, np.float32(elsewhere))
