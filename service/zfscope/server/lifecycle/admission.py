"""Admission of requests: none while the service starts or shuts down, and never too much at once."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from zfscope.errors import Busy, NotReady


@dataclass(frozen=True)
class AdmissionLimits:
    """The most that is admitted at once, running or waiting.

    requests: of each method. per_method: of single methods, by name (`Occlude`). bytes: of all requests as
    they came.
    """

    requests: int = 64
    per_method: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 256 << 20

    def max_requests(self, method: str) -> int:
        """Return the limit of a method, named in full: `/zfscope.v1.AnalysisService/Occlude`."""
        return self.per_method.get(method.rpartition("/")[2], self.requests)


class AdmissionControl:
    """Admits requests while it is open and below its limits, and waits until the last one has ended."""

    def __init__(self, limits: AdmissionLimits | None = None) -> None:
        self._limits = limits or AdmissionLimits()
        self._requests: Counter[str] = Counter()
        self._bytes = 0
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._abort_reason = ""
        self._closed_reason = "the service is still loading its model; try again in a moment"
        self._empty = asyncio.Event()
        self._empty.set()

    def open(self) -> None:
        """Admit requests from now on."""
        self._closed_reason = ""

    def close(self) -> None:
        """Admit no more requests; admitted ones continue."""
        self._closed_reason = "the service is shutting down; try another one"

    @contextmanager
    def admit(self, method: str, size: int) -> Iterator[None]:
        """Count a request of `size` bytes as admitted inside the block.

        Raises NotReady while admission is closed, and out of the block once the request is cut off; Busy over
        a limit.
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
            if not self._abort_reason or task is None or task.uncancel():
                raise
            raise NotReady(self._abort_reason) from error
        finally:
            self._tasks.discard(task)
            self._requests[method] -= 1
            self._bytes -= size
            if not self._requests.total():
                self._empty.set()

    @property
    def admitted(self) -> int:
        """The number of admitted requests that have not ended."""
        return self._requests.total()

    def abort_all(self, reason: str) -> int:
        """End the admitted requests with NotReady and a reason; return their number."""
        self._abort_reason = reason
        for task in self._tasks:
            if task is not None:
                task.cancel()
        return len(self._tasks)

    async def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until all admitted requests have ended; return False if some have not after the timeout."""
        if not self._requests.total():
            return True
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _check(self, method: str, size: int) -> None:
        if self._closed_reason:
            raise NotReady(self._closed_reason)
        places = self._limits.max_requests(method)
        if self._requests[method] >= places:
            name = method.rpartition("/")[2]
            raise Busy(f"all {places} places for {name} are taken; try again in a moment")
        # A lone request is admitted however long it is: its own limit is that of messages.
        if self._bytes and self._bytes + size > self._limits.bytes:
            message = f"requests of {self._bytes:,} bytes are in work, and {self._limits.bytes:,} are allowed"
            raise Busy(f"{message}; try again in a moment")
