"""Check of a device: the libraries it needs, and computations on it compared with float64 on the CPU."""

from zfscope.runtimes.device_check.check import CheckResult, DeviceCheck, Finding, run_checks
from zfscope.runtimes.device_check.plan import device_checks

__all__ = ["CheckResult", "DeviceCheck", "Finding", "device_checks", "run_checks"]
