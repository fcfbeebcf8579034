"""Values held in memory for a limited time, bounded in number and bytes; the least recently used go first."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(frozen=True)
class MemoryLimits:
    """Maximum number of values, their total size in bytes, and the seconds that an unused value is kept."""

    items: int
    bytes: int
    seconds: float


@dataclass
class _Entry(Generic[V]):
    value: V
    size: int
    used: float


class BoundedMemory(Generic[V]):
    """Thread-safe mapping from keys to values within limits.

    Reading a value counts as use. A value of more bytes than allowed in total is still kept, alone: whoever
    stores it has checked its size.
    """

    def __init__(self, limits: MemoryLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._entries: OrderedDict[str, _Entry[V]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Total size of the values."""
        with self._lock:  # while a value is put, the sum is briefly over the limit
            return self._bytes

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def put(self, key: str, value: V, size: int) -> None:
        """Store a value of `size` bytes, replacing the one with the same key."""
        with self._lock:
            self._remove(key)
            self._entries[key] = _Entry(value, size, self._clock())
            self._bytes += size
            self._evict()

    def get(self, key: str) -> V | None:
        """Return the value of a key, or None if it was never stored or is no longer kept."""
        with self._lock:
            self._evict()
            entry = self._entries.get(key)
            if entry is None:
                return None
            entry.used = self._clock()
            self._entries.move_to_end(key)
            return entry.value

    def evict(self) -> None:
        """Remove the values that have expired."""
        with self._lock:
            self._evict()

    def _evict(self) -> None:
        expired = self._clock() - self._limits.seconds
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            over = len(self._entries) > self._limits.items or self._bytes > self._limits.bytes
            if oldest.used > expired and not (over and len(self._entries) > 1):
                return
            self._remove(key)

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry:
            self._bytes -= entry.size
