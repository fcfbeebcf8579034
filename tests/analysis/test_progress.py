"""Progress of an analysis: the meter, and the intervals between partial results."""

import pytest

from zfscope.analysis.progress import (
    DRAWN_INTERVAL_S,
    NUMBERS_INTERVAL_S,
    PartialResults,
    ProgressMeter,
)
from zfscope.results import Analysis


def test_progress_never_decreases_and_stays_between_0_and_1() -> None:
    meter = ProgressMeter()
    assert meter.read(0) == (0, None)
    fraction, seconds_left = meter.read(0.5)
    assert fraction == 0.5
    assert seconds_left is not None
    assert seconds_left >= 0
    assert meter.read(0.2)[0] == 0.5
    assert meter.read(7) == (1, 0)


@pytest.mark.parametrize(("pictures", "interval_s"), [(True, DRAWN_INTERVAL_S), (False, NUMBERS_INTERVAL_S)])
def test_partial_results_are_due_at_once_and_then_after_an_interval(
    pictures: bool, interval_s: float
) -> None:
    now = [10.0]
    partials = PartialResults(wanted=True, pictures=pictures, clock=lambda: now[0])
    assert partials.due

    def draw() -> Analysis:
        now[0] = 20
        return Analysis(numbers={"step": 1})

    assert partials.compute(draw).numbers == {"step": 1}
    assert not partials.due
    now[0] = 20 + 0.9 * interval_s
    assert not partials.due
    now[0] = 20 + interval_s
    assert partials.due


def test_partial_results_that_are_not_wanted_are_never_due() -> None:
    assert not PartialResults(wanted=False, pictures=False).due
