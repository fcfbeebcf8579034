"""Admission control: limits concurrent requests, and admits none during startup and shutdown."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from zfscope.errors import Busy, NotReady


@dataclass(frozen=True)
class AdmissionLimits:
    """Maximum number and size of concurrent requests, running or queued.

    requests: maximum per method. per_method: overrides for methods, by name (`Occlude`). bytes: maximum
    total size of all requests, as received; and of responses that clients do not read, beyond which their
    connections get no more.
    """

    requests: int = 64
    per_method: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 256 << 20

    def max_requests(self, method: str) -> int:
        """Return the limit of a method. method: full name, `/zfscope.v1.AnalysisService/Occlude`."""
        return self.per_method.get(method.rpartition("/")[2], self.requests)


class AdmissionControl:
    """Admits requests while open and below its limits; tracks and aborts admitted ones at shutdown."""

    def __init__(self, limits: AdmissionLimits | None = None) -> None:
        self._limits = limits or AdmissionLimits()
        self._requests: Counter[str] = Counter()
        self._bytes = 0
        # Bytes of responses that were not read in time, by connection: gRPC keeps them until they are.
        self._unread: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._abort_reason = ""
        self._closed_reason = "the service is still loading its model; try again in a moment"
        self._empty = asyncio.Event()
        self._empty.set()

    def open(self) -> None:
        """Start admitting requests."""
        self._closed_reason = ""

    def close(self) -> None:
        """Stop admitting requests; admitted ones continue."""
        self._closed_reason = "the service is shutting down; try another replica"

    @contextmanager
    def admit(self, method: str, size: int, connection: str = "") -> Iterator[None]:
        """Admit a request of `size` bytes for the duration of the block.

        connection: address of the client, as passed to `hold_unread`.
        Raises NotReady while admission is closed, Busy over a limit, and NotReady from within the block if
        `abort_all` aborts the request.
        """
        self._check(method, size)
        self._check_reads(connection)
        task = asyncio.current_task()
        self._tasks.add(task)
        self._requests[method] += 1
        self._bytes += size
        self._empty.clear()
        try:
            yield
        except asyncio.CancelledError as error:
            # If the client cancelled at the same time, its cancellation wins: the status is not read.
            if not self._abort_reason or task is None or task.uncancel():
                raise
            raise NotReady(self._abort_reason) from error
        finally:
            self._tasks.discard(task)
            self._requests[method] -= 1
            self._bytes -= size
            if not self._requests.total():
                self._empty.set()

    @contextmanager
    def hold_unread(self, connection: str, size: int) -> Iterator[None]:
        """Record, for the duration of the block, that a client has not read a response of `size` bytes."""
        self._unread[connection] += size
        try:
            yield
        finally:
            self._unread[connection] -= size
            if not self._unread[connection]:
                del self._unread[connection]

    @property
    def admitted(self) -> int:
        """Number of admitted requests that have not ended."""
        return self._requests.total()

    def abort_all(self, reason: str) -> int:
        """Abort the admitted requests with NotReady; return their number. reason: message of the error."""
        self._abort_reason = reason
        for task in self._tasks:
            if task is not None:
                task.cancel()
        return len(self._tasks)

    async def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until all admitted requests have ended; return False if the timeout expires first."""
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
        limit = self._limits.max_requests(method)
        if self._requests[method] >= limit:
            name = method.rpartition("/")[2]
            raise Busy(f"too many {name} requests in progress (limit {limit}); try again in a moment")
        # A single request of any size is admitted: gRPC already limits the size of a message.
        if self._bytes and self._bytes + size > self._limits.bytes:
            message = f"requests in progress take {self._bytes:,} bytes; {size:,} more would exceed the limit"
            raise Busy(f"{message} of {self._limits.bytes:,}; try again in a moment")

    def _check_reads(self, connection: str) -> None:
        """Raise Busy for a connection with unread responses, if all unread responses are over the limit."""
        unread = self._unread[connection]
        if unread and self._unread.total() > self._limits.bytes:
            raise Busy(
                f"this connection has not read {unread:,} bytes of responses, and the limit of unread "
                f"responses, {self._limits.bytes:,} bytes, is reached; read them, or open another connection"
            )
