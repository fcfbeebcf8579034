"""Settings of glibc's allocator: a process reuses freed memory while it computes, and returns it at rest."""

import ctypes
import platform
import threading
import time

# Largest tensor whose memory a service keeps: an activation of a few images.
SERVICE_BYTES = 12 << 20
# Options of mallopt.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
# Seconds between two checks, and the share of a processor below which a process rests.
_INTERVAL_S = 10.0
_REST = 0.02


def keep_freed_memory(up_to_bytes: int | None = None) -> None:
    """Make glibc keep freed memory for any thread, instead of returning it to the system; no-op elsewhere.

    up_to_bytes: the memory of larger tensors is returned when they are freed; None to keep all.

    Passes allocate equally large tensors again and again, and fresh pages from the system cost as much as the
    computation: a training step takes 1.5 times as long with them, a forward pass in bfloat16 1.7 times.
    All threads share one arena: with one each, every arena would keep the memory of its largest analysis.
    """
    large = (_M_MMAP_MAX, 0) if up_to_bytes is None else (_M_MMAP_THRESHOLD, up_to_bytes)
    if (library := _glibc()) is not None:
        for option, value in ((_M_ARENA_MAX, 1), large, (_M_TRIM_THRESHOLD, 2**31 - 1)):
            library.mallopt(option, value)


def release_freed_memory_at_rest(interval_s: float = _INTERVAL_S) -> None:
    """Return freed memory to the system whenever this process rests, from a thread; no-op without glibc.

    interval_s: seconds between two checks. The process rests if it has used hardly any processor time since
    the last check.
    """
    if (library := _glibc()) is not None:
        arguments = (library, interval_s)
        threading.Thread(target=_release_at_rest, args=arguments, name="allocator", daemon=True).start()


def _release_at_rest(library: ctypes.CDLL, interval_s: float) -> None:
    released, before = False, time.process_time()
    while True:
        time.sleep(interval_s)
        now = time.process_time()
        if now - before > _REST * interval_s:
            released = False
        elif not released:
            library.malloc_trim(0)
            released = True
        before = time.process_time()


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
