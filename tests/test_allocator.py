"""Allocator settings: freed memory is reused by all threads, and returned to the system at rest."""

import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

from zfscope import allocator

PROGRAM = """
import sys
import threading
import time
import torch
from zfscope.allocator import keep_freed_memory, release_freed_memory_at_rest

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

def faults():
    return int(open("/proc/self/stat").read().rpartition(")")[2].split()[7])

def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

def compute():
    small = []
    for size_mb in (28, 24, 20, 16):
        large = torch.ones(size_mb << 18)
        small.append(torch.ones(100))  # lies above the large one, so freeing that cannot shrink the heap
        del large

keep_freed_memory(int(sys.argv[1]) or None)
before = resident_mb()
for _ in range(2):
    in_a_thread(compute)
kept = resident_mb() - before
first = faults()
in_a_thread(compute)  # another thread
print(kept, faults() - first)
release_freed_memory_at_rest(0.2)
while resident_mb() - before > 8:
    time.sleep(0.05)
in_a_thread(compute)
assert resident_mb() - before > 20
while resident_mb() - before > 8:  # again
    time.sleep(0.05)
"""


def run(up_to_bytes: int, program: str = PROGRAM) -> tuple[int, int]:
    """Return the MB that a process keeps, and how many pages it requests to compute again."""
    command = [sys.executable, "-c", program, str(up_to_bytes)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    kept_mb, faults = map(int, result.stdout.split())
    return kept_mb, faults


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="requires glibc")
@pytest.mark.parametrize("up_to_bytes", [0, 30 << 20])
def test_freed_memory_is_reused_by_all_threads_and_returned_whenever_the_process_rests(
    up_to_bytes: int,
) -> None:
    kept_mb, faults = run(up_to_bytes)
    assert kept_mb > 20
    assert faults < 8_000  # 88 MB of fresh pages would be 22,000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="requires glibc")
def test_the_memory_of_larger_tensors_is_returned_when_they_are_freed() -> None:
    computing, _, _ = PROGRAM.partition("release_freed_memory_at_rest(0.2)")
    kept_mb, faults = run(12 << 20, computing)
    assert kept_mb < 8
    assert faults > 20_000


@pytest.mark.parametrize("setting", [allocator.keep_freed_memory, allocator.release_freed_memory_at_rest])
def test_other_c_libraries_are_left_unchanged(
    monkeypatch: pytest.MonkeyPatch, setting: Callable[[], None]
) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", None)
    monkeypatch.setattr("threading.Thread", None)
    setting()
