"""The NVIDIA driver, with a library made up in the test."""

import ctypes
from typing import Any

import pytest

from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes.device_check.driver import driver_cuda_version


def install(monkeypatch: pytest.MonkeyPatch, *, version: int = 13000, error: int = 0) -> None:
    """Install a driver whose start returns `error` and that supports CUDA `version`."""

    class Driver:
        def __init__(self, name: str) -> None:
            assert name == "libcuda.so.1"

        def cuInit(self, flags: int) -> int:  # noqa: N802  (name in the library)
            assert flags == 0
            return error

        def cuDriverGetVersion(self, result: Any) -> int:  # noqa: N802
            ctypes.cast(result, ctypes.POINTER(ctypes.c_int))[0] = version
            return 0

    monkeypatch.setattr(ctypes, "CDLL", Driver)


@pytest.mark.parametrize(("version", "expected"), [(13000, (13, 0)), (12040, (12, 4)), (13020, (13, 2))])
def test_the_supported_version_is_that_of_the_driver(
    monkeypatch: pytest.MonkeyPatch, version: int, expected: tuple[int, int]
) -> None:
    install(monkeypatch, version=version)
    assert driver_cuda_version() == expected


def test_a_missing_driver_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(RuntimeUnavailable, match=r"no NVIDIA driver: .* install the driver"):
        driver_cuda_version()


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (34, "remove the folder `stubs` from LD_LIBRARY_PATH"),
        (100, "finds no GPU; check CUDA_VISIBLE_DEVICES"),
        (802, "nvidia-fabricmanager"),
        (803, "restart the machine"),
        (804, "update the driver"),
        (999, "CUDA's error 999; `nvidia-smi` may show more"),
    ],
)
def test_a_driver_that_does_not_start_is_explained(
    monkeypatch: pytest.MonkeyPatch, error: int, meaning: str
) -> None:
    install(monkeypatch, error=error)
    with pytest.raises(RuntimeUnavailable, match=f"the NVIDIA driver does not start: .*{meaning}"):
        driver_cuda_version()
