"""Allocator settings: whether a process returns or keeps freed memory."""

import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

from zfscope.cli import memory

PROGRAM = """
import sys
import torch
from zfscope.cli.memory import return_freed_memory

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

return_freed_memory()
before = resident_mb()
small = []
for size_mb in (28, 24, 20, 16, 12):
    large = torch.ones(size_mb << 18)
    small.append(torch.ones(100))  # lies above the large one, so freeing that cannot shrink the heap
    del large
print(resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="requires glibc")
def test_the_memory_of_a_large_tensor_is_returned_to_the_system() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 8


@pytest.mark.parametrize("setting", [memory.return_freed_memory, memory.keep_freed_memory])
def test_other_c_libraries_are_left_unchanged(
    monkeypatch: pytest.MonkeyPatch, setting: Callable[[], None]
) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", None)
    setting()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (memory.return_freed_memory, [(-3, 2 * 1024 * 1024)]),
        (memory.keep_freed_memory, [(-4, 0), (-1, 2**31 - 1)]),
    ],
)
def test_the_thresholds_of_glibc_are_set(
    monkeypatch: pytest.MonkeyPatch, setting: Callable[[], None], expected: list[tuple[int, int]]
) -> None:
    calls: list[tuple[int, int]] = []

    class Library:
        def __init__(self, name: None) -> None:
            self.mallopt = lambda *setting: calls.append(setting)

    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr("ctypes.CDLL", Library)
    setting()
    assert calls == expected
