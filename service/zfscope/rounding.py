"""Tolerance of rounding: smaller differences are not significant."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zfscope.choices import PrecisionName

# Differences that rounding may cause, relative to the largest value of the layer. In float32, the same sums
# in another batch, thread count or process differed by up to 9 units in the last place (1.1e-6). 16 units
# leave a margin, and are still 2,000 times finer than the 255 levels that a picture can show. In bfloat16,
# layers of ZFNet and AlexNet recomputed without a change differed by up to 1.2 units of 2^-7 from the trace
# in float32. In TF32, emulated on a CPU, layers of both differed by up to 0.6 units of 2^-10 if the inputs of
# products are rounded to 11 significant bits, and by up to 2.8 if further bits are cut off.
_ROUNDING: Mapping[str, float] = {
    PrecisionName.float32: 16 * float(np.finfo(np.float32).eps),
    PrecisionName.tf32: 4 * 2.0**-10,
    PrecisionName.bfloat16: 2 * 2.0**-7,
}


def rounding(magnitude: float, precision: str = PrecisionName.float32) -> float:
    """Return the largest difference that rounding can cause between results of up to `magnitude`.

    precision: of the computation.
    """
    return _ROUNDING[precision] * abs(magnitude)


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
