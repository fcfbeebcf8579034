"""Running checks: each has a result, whatever it raises or finds."""

import math

import pytest

from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes.device_check import DeviceCheck, Finding, run_checks


def raising(error: Exception) -> Finding:
    raise error


def test_a_failed_check_does_not_end_the_others() -> None:
    checks = [
        DeviceCheck("driver", lambda: raising(RuntimeUnavailable("no driver"))),
        DeviceCheck("torch", lambda: Finding("2.13")),
    ]
    failed, passed = run_checks(checks)
    assert (failed.ok, failed.reason) == (False, "no driver")
    assert (passed.ok, passed.reason, passed.finding) == (True, "", Finding("2.13"))


def test_a_check_whose_need_failed_is_not_run_and_names_it() -> None:
    checks = [
        DeviceCheck("torch", lambda: raising(RuntimeUnavailable("not installed"))),
        DeviceCheck("trace", lambda: raising(AssertionError("was run")), needs=("torch",)),
        DeviceCheck("projection", lambda: raising(AssertionError("was run")), needs=("trace",)),
    ]
    _, trace, projection = run_checks(checks)
    assert trace.reason == "not run, because this failed: torch"
    assert projection.reason == "not run, because this failed: trace"


@pytest.mark.parametrize(("difference", "ok"), [(0.0, True), (1e-4, True), (1.1e-4, False), (1.0, False)])
def test_a_difference_of_more_than_a_ten_thousandth_fails(difference: float, ok: bool) -> None:
    (result,) = run_checks([DeviceCheck("trace", lambda: Finding("", difference, 0.1))])
    assert result.ok is ok
    assert result.finding.difference == difference
    assert ok or result.reason.startswith(
        f"wrong values: they differ from float64 on the CPU by {difference:.1e}"
    )


@pytest.mark.parametrize("difference", [math.nan, math.inf])
def test_values_that_are_not_finite_fail(difference: float) -> None:
    (result,) = run_checks([DeviceCheck("trace", lambda: Finding("", difference, 0.1))])
    assert not result.ok
    assert result.reason.startswith("values that are not finite")
    assert result.finding == Finding()  # NaN would not be valid JSON


def test_the_name_of_a_check_is_reported_before_it_runs() -> None:
    events: list[str] = []

    def run() -> Finding:
        events.append("run")
        return Finding()

    run_checks([DeviceCheck("one", run), DeviceCheck("two", run)], begin=events.append)
    assert events == ["one", "run", "two", "run"]
