"""Whether the service takes work: not before it is ready, no more once it shuts down, and never too much."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from zfscope.errors import Busy, NotReady


@dataclass(frozen=True)
class Room:
    """How much is inside at once, in work or waiting for it.

    requests: of each method. of_method: of some, by name (`Occlude`). bytes: of all requests as they came.
    """

    requests: int = 64
    of_method: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 256 << 20

    def places(self, method: str) -> int:
        """How many requests of a method, in full (`/zfscope.v1.AnalysisService/Occlude`), are let in."""
        return self.of_method.get(method.rpartition("/")[2], self.requests)


class Gate:
    """Lets requests in while it is open and has room, and knows when the last one has left."""

    def __init__(self, room: Room | None = None) -> None:
        self._room = room or Room()
        self._requests: Counter[str] = Counter()
        self._bytes = 0
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._cut_off_because = ""
        self._shut_because = "the service is still loading its model; try again in a moment"
        self._empty = asyncio.Event()
        self._empty.set()

    def open(self) -> None:
        """Let requests in from now on."""
        self._shut_because = ""

    def shut(self) -> None:
        """Let no more requests in; those inside go on."""
        self._shut_because = "the service is shutting down; try another one"

    @contextmanager
    def passage(self, method: str, size: int) -> Iterator[None]:
        """Hold a place inside for a request of so many bytes.

        Raises NotReady while the gate is shut, and inside it once the request is cut off; Busy where there is
        no room.
        """
        self._check(method, size)
        task = asyncio.current_task()
        self._tasks.add(task)
        self._requests[method] += 1
        self._bytes += size
        self._empty.clear()
        try:
            yield
        except asyncio.CancelledError as error:
            # A caller that cancels at the same time counts more: it is not there to be answered.
            if not self._cut_off_because or task is None or task.uncancel():
                raise
            raise NotReady(self._cut_off_because) from error
        finally:
            self._tasks.discard(task)
            self._requests[method] -= 1
            self._bytes -= size
            if not self._requests.total():
                self._empty.set()

    @property
    def inside(self) -> int:
        """The number of requests that are inside."""
        return self._requests.total()

    def cut_off(self, reason: str) -> int:
        """End the requests that are inside with NotReady and a reason; return their number."""
        self._cut_off_because = reason
        for task in self._tasks:
            if task is not None:
                task.cancel()
        return len(self._tasks)

    async def emptied(self, timeout_s: float) -> bool:
        """Wait until nobody is inside; False when somebody still is after the timeout."""
        if not self._requests.total():
            return True
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _check(self, method: str, size: int) -> None:
        if self._shut_because:
            raise NotReady(self._shut_because)
        places = self._room.places(method)
        if self._requests[method] >= places:
            name = method.rpartition("/")[2]
            raise Busy(f"all {places} places for {name} are taken; try again in a moment")
        # A request that is alone is let in however long it is: its own limit is that of messages.
        if self._bytes and self._bytes + size > self._room.bytes:
            told = f"requests of {self._bytes:,} bytes are in work, and {self._room.bytes:,} are allowed"
            raise Busy(f"{told}; try again in a moment")
