"""Removal of pixels in an order: the images of deletion and insertion, and the curve of a class score."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Images per forward pass: as fast as more of them (measured on two cores), and a tenth of a second for ZFNet,
# after which cancellation is checked.
BATCH_SIZE = 16

# Values of the class, (N,), for network inputs, (N, C, H, W).
Measure = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Endpoints:
    """A photo and what remains if all pixels are removed: network inputs, float32 (C, H, W).

    values: of the class for both. counts: int64 (steps + 1,), number of removed pixels from 0 to all.
    """

    clean: NDArray[np.float32]
    removed: NDArray[np.float32]
    values: tuple[float, float]
    counts: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Removed share of the pixels at each step, (steps + 1,)."""
        shares: NDArray[np.float64] = self.counts / self.counts[-1]
        return shares


def step_counts(pixels: int, steps: int) -> NDArray[np.int64]:
    """Return the number of changed pixels after each of up to `steps` equal steps, from 0 to all."""
    return np.unique(np.linspace(0, pixels, steps + 1).round().astype(np.int64))


def descending_order(attribution: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return the pixels, as indices of the flat image, from the highest attribution to the lowest.

    Pixels with equal attributions are in random order: their position in the photo must not count.
    """
    order: NDArray[np.int64] = np.lexsort((generator.permutation(attribution.size), -attribution.ravel()))
    return order


def deletion_curve(ends: Endpoints, order: NDArray[np.int64], measure: Measure) -> NDArray[np.float64]:
    """Return the value of the class at each step while pixels are removed in order, (steps + 1,)."""
    return _curve(ends.clean, ends.removed, ends.values, order, ends.counts, measure)


def insertion_curve(ends: Endpoints, order: NDArray[np.int64], measure: Measure) -> NDArray[np.float64]:
    """Return the value of the class at each step while removed pixels come back in order, (steps + 1,)."""
    return _curve(ends.removed, ends.clean, ends.values[::-1], order, ends.counts, measure)


def _curve(
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    values: tuple[float, float],
    order: NDArray[np.int64],
    counts: NDArray[np.int64],
    measure: Measure,
) -> NDArray[np.float64]:
    """Return the value at each step while the pixels of `start` become those of `end` in order."""
    curve, last = np.empty(len(counts)), len(counts) - 1
    curve[0], curve[-1] = values
    current, target = start.reshape(len(start), -1).copy(), end.reshape(len(end), -1)
    batch = np.empty((min(BATCH_SIZE, last), *start.shape), np.float32)
    flat = batch.reshape(len(batch), len(start), -1)
    for first in range(1, last, BATCH_SIZE):
        steps = range(first, min(first + BATCH_SIZE, last))
        for row, step in enumerate(steps):
            changed = order[counts[step - 1] : counts[step]]
            current[:, changed] = target[:, changed]
            flat[row] = current
        curve[steps.start : steps.stop] = measure(batch[: len(steps)])
    return curve


def area(values: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """Return the area under a curve by the trapezoidal rule; shares: from 0 to 1."""
    return float(np.trapezoid(values, shares))
