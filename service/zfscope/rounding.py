"""Tolerance of float32 rounding: smaller differences are not significant."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The same sums in another batch, thread count or process differed by up to 9 units in the last place of
# the largest value of the layer (1.1e-6 of it). 16 units leave a margin, and are still 2,000 times finer
# than the 255 levels that a picture can show.
_UNITS = 16
_UNIT = float(np.finfo(np.float32).eps)


def rounding(magnitude: float) -> float:
    """Return the largest difference that rounding can cause between float32 results of up to `magnitude`."""
    return _UNITS * _UNIT * abs(magnitude)


def is_level(values: ArrayLike, *, floor: float = 0.0) -> bool:
    """Return whether values differ by no more than rounding, or than `floor` if that is larger."""
    numbers = np.asarray(values, np.float64)
    if not numbers.size:
        return True
    low, high = float(numbers.min()), float(numbers.max())
    return high - low <= max(floor, rounding(max(abs(low), abs(high))))


def first_lowest(values: NDArray[np.floating], *, floor: float = 0.0) -> int:
    """Return the index of the first value that equals the minimum up to rounding or `floor`."""
    least = float(values.min())
    return int(np.flatnonzero(values <= least + max(floor, rounding(least)))[0])
