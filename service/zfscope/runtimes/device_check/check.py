"""One check of a device and its result; a failure never ends the other checks."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from zfscope.runtimes.device_check.explain import explain

# Largest difference from float64 that passes, as a fraction of the largest value. With the default model,
# float32 on the CPU differs by 3e-6 in the worst layer; convolutions with inputs rounded to 10 bits, as in
# TF32, by 7e-4.
TOLERANCE = 1e-4
_REMEDY = "do not use this device before its driver and libraries are replaced"


@dataclass(frozen=True)
class Finding:
    """What a successful check found.

    detail: versions, or the device that was used. difference: largest difference from the reference, as a
    fraction of the reference's largest absolute value. time_s: duration in seconds, after a first run that is
    not timed. Both are None for a check that computes nothing.
    """

    detail: str = ""
    difference: float | None = None
    time_s: float | None = None


@dataclass(frozen=True)
class DeviceCheck:
    """A check that has not been run.

    run: returns a finding or raises. needs: names of earlier checks without which it cannot succeed.
    tolerance: largest difference that passes.
    """

    name: str
    run: Callable[[], Finding]
    needs: tuple[str, ...] = ()
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class CheckResult:
    """Result of a check: its finding, or the reason for its failure with what to do about it."""

    name: str
    ok: bool
    finding: Finding = Finding()
    reason: str = ""


def run_checks(
    checks: Iterable[DeviceCheck], *, begin: Callable[[str], object] = lambda _: None
) -> list[CheckResult]:
    """Run checks in order and return a result for each, whatever they raise.

    begin: called with the name of each check before it runs.
    """
    results: dict[str, CheckResult] = {}
    for check in checks:
        begin(check.name)
        failed = [name for name in check.needs if not results[name].ok]
        results[check.name] = _blocked(check, failed) if failed else _run(check)
    return list(results.values())


def _blocked(check: DeviceCheck, failed: list[str]) -> CheckResult:
    return CheckResult(check.name, ok=False, reason=f"not run, because this failed: {', '.join(failed)}")


def _run(check: DeviceCheck) -> CheckResult:
    try:
        finding = check.run()
    except Exception as error:
        return CheckResult(check.name, ok=False, reason=explain(error))
    if finding.difference is None or finding.difference <= check.tolerance:
        return CheckResult(check.name, ok=True, finding=finding)
    if not math.isfinite(finding.difference):
        return CheckResult(check.name, ok=False, reason=f"values that are not finite; {_REMEDY}")
    reason = (
        f"wrong values: they differ from float64 on the CPU by {finding.difference:.1e} of the largest, "
        f"rounding explains {check.tolerance:.0e}; {_REMEDY}"
    )
    return CheckResult(check.name, ok=False, finding=finding, reason=reason)
