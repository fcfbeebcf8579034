"""Values that callers share: each is computed once, and their memory is bounded."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from zfscope.cancellation import checkpoint, interruptible

V = TypeVar("V")
# Result of a lookup: the value was found, extended from a part of it, or computed anew.
Lookup = Literal["hit", "extended", "miss"]
# Seconds between two checks of a waiting caller for its own cancellation.
_POLL_S = 0.05


@dataclass(frozen=True)
class Kind(Generic[V]):
    """A kind of shared values.

    name: for statistics. buffers: returns the size in bytes of each block of memory of a value, by address;
    a block that several values contain counts once.
    """

    name: str
    buffers: Callable[[V], Mapping[int, int]]


@dataclass(eq=False)
class _Computation:
    """A computation in progress. value: its result; None before it is done, and if it fails.

    is_kept: whether the result is stored; False once its key was dropped.
    """

    value: Any = None
    is_kept: bool = True
    done: threading.Event = field(default_factory=threading.Event)


class _Found(NamedTuple):
    """Result of a search. value: the kept value, or None. computation: None if the value is enough.

    is_own: whether the caller must run the computation; else another caller does.
    """

    value: Any
    computation: _Computation | None = None
    is_own: bool = False


@dataclass(frozen=True, eq=False)
class _Entry:
    value: Any
    buffers: Mapping[int, int]


class SharedValues:
    """Values by key, of at most `max_bytes` in total; the least recently used are dropped first.

    Callers that ask for a key at the same time share one computation. It runs in the thread of the first one,
    and is not stopped if that caller is cancelled; the others stop waiting at the `checkpoint` of their own
    call. A failure is not kept: those that waited for it compute the value themselves. Thread-safe.
    """

    def __init__(self, max_bytes: int, *, observe: Callable[[str, Lookup], object] = lambda *_: None) -> None:
        """max_bytes: 0 to share nothing. observe: called with the kind and the result of each lookup."""
        self._max_bytes = max_bytes
        self._observe = observe
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._computations: dict[Hashable, _Computation] = {}
        self._owners: Counter[int] = Counter()  # number of entries that contain a block, by its address
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """Memory of the kept values; never more than the limit."""
        with self._lock:  # while a value is stored, the sum is briefly over the limit
            return self._bytes

    def get(
        self,
        kind: Kind[V],
        key: Hashable,
        compute: Callable[[V | None], V],
        *,
        is_enough: Callable[[V], bool] = lambda _: True,
    ) -> V:
        """Return the value of a key, which no other kind uses; compute it if it is missing or not enough.

        compute: called with the value that is not enough, or None. Raises the exceptions of `compute`, and
        those of `checkpoint` while waiting for another caller.
        """
        if not self._max_bytes:
            return compute(None)
        while True:
            value, computation, is_own = self._find(key, is_enough)
            lookup: Lookup = "miss" if value is None else "extended"
            if computation is None:
                lookup = "hit"
            elif is_own:
                value = self._run(kind, key, computation, compute, value)
            elif (result := _wait(computation)) is None:
                value = compute(value)
            elif is_enough(result):
                value, lookup = result, "hit"
            else:
                continue  # the other caller needed less
            self._observe(kind.name, lookup)
            found: V = value
            return found

    def drop(self, matches: Callable[[Hashable], bool] = lambda _: True) -> None:
        """Drop the values whose keys match, including those that are being computed."""
        with self._lock:
            for key in [key for key in self._entries if matches(key)]:
                self._remove(key)
            for key, computation in self._computations.items():
                if matches(key):
                    computation.is_kept = False

    def _find(self, key: Hashable, is_enough: Callable[[Any], bool]) -> _Found:
        """Find a value, or its computation; register a new one if nobody computes it."""
        with self._lock:
            value = None
            if key in self._entries:
                self._entries.move_to_end(key)
                value = self._entries[key].value
                if is_enough(value):
                    return _Found(value)
            if key in self._computations:
                return _Found(value, self._computations[key])
            self._computations[key] = _Computation()
            return _Found(value, self._computations[key], is_own=True)

    def _run(
        self,
        kind: Kind[V],
        key: Hashable,
        computation: _Computation,
        compute: Callable[[V | None], V],
        part: V | None,
    ) -> V:
        try:
            with interruptible(lambda: None):  # others may be waiting for it
                value = compute(part)
            self._store(key, computation, _Entry(value, kind.buffers(value)))
            computation.value = value
            return value
        finally:
            with self._lock:
                del self._computations[key]
            computation.done.set()

    def _store(self, key: Hashable, computation: _Computation, entry: _Entry) -> None:
        """Keep a value, unless it alone exceeds the limit, and drop others until all are within it."""
        with self._lock:
            if not computation.is_kept or sum(entry.buffers.values()) > self._max_bytes:
                return
            if key in self._entries:
                self._remove(key)
            self._entries[key] = entry
            for address, size in entry.buffers.items():
                self._owners[address] += 1
                self._bytes += size * (self._owners[address] == 1)
            while self._bytes > self._max_bytes:
                self._remove(next(iter(self._entries)))

    def _remove(self, key: Hashable) -> None:
        for address, size in self._entries.pop(key).buffers.items():
            self._owners[address] -= 1
            if not self._owners[address]:
                del self._owners[address]
                self._bytes -= size


def _wait(computation: _Computation) -> Any:
    """Return the result of another caller's computation, None if it failed. Raises like `checkpoint`."""
    while not computation.done.wait(_POLL_S):
        checkpoint()
    return computation.value
