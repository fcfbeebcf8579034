"""Progress of an analysis: fraction done, time left, and partial results at intervals."""

import time
from collections.abc import Callable

from zfscope.results import Analysis

# Minimum seconds between two partial results, which take time from the analysis: drawing one takes a tenth of
# a second or more, copying numbers a few milliseconds.
DRAWN_INTERVAL_S, NUMBERS_INTERVAL_S = 0.5, 0.1


class ProgressMeter:
    """Progress of an analysis: a fraction that never decreases, and an estimate of the time left."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._share = 0.0

    def read(self, share: float) -> tuple[float, float | None]:
        """Return the fraction done (0..1) and the estimated seconds left, None at a fraction of 0."""
        self._share = max(self._share, min(max(share, 0.0), 1.0))
        took = time.monotonic() - self._started
        return self._share, took * (1 - self._share) / self._share if self._share else None


class PartialResults:
    """Partial results of an analysis, computed at intervals; the first need not wait.

    wanted: whether the caller requested them. pictures: whether they contain pictures, which makes the
    interval longer.
    """

    def __init__(self, *, wanted: bool, pictures: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._wanted = wanted
        self._interval_s = DRAWN_INTERVAL_S if pictures else NUMBERS_INTERVAL_S
        self._clock = clock
        self._next = clock()

    @property
    def due(self) -> bool:
        """Whether partial results are wanted, and the interval since the last one has passed."""
        return self._wanted and self._clock() >= self._next

    def compute(self, partial: Callable[[], Analysis]) -> Analysis:
        """Return a partial result, and start the interval to the next one.

        Call it within the analyzer's report of progress, in the same thread: the analyzer may change its
        arrays afterwards.
        """
        result = partial()
        self._next = self._clock() + self._interval_s
        return result
