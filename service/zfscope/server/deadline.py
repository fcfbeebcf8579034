"""Deadlines of calls, which the service limits, and cancellation of their work."""

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from zfscope.errors import Cancelled, TooLate


@dataclass(frozen=True)
class DeadlineLimits:
    """Limits of call deadlines in seconds. default_s: for a call without a deadline. max_s: for any call."""

    default_s: float = 300
    max_s: float = 900

    def timeout_s(self, context: grpc.aio.ServicerContext[Any, Any], *, stream: bool = False) -> float:
        """Return the seconds that a call may still take.

        stream: whether the response is a stream. A stream without a deadline gets `max_s`: its client reads
        progress messages, so it is still waiting.
        """
        left_s: Any = context.time_remaining()  # None without a deadline, contrary to the stubs
        default_s = self.max_s if stream else self.default_s
        return min(default_s if left_s is None else left_s, self.max_s)


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Cancel the block after the given number of seconds and raise TooLate."""
    try:
        async with asyncio.timeout(seconds) as timer:
            yield
    except TimeoutError as error:
        if timer.expired():
            raise TooLate(f"the call exceeded its deadline of {seconds:.3g} s") from error
        raise


class CallCancellation:
    """Cancellation of a call's work: set when the call ends for any reason, and past its deadline.

    The deadline is checked here too, since a worker thread may notice it before the event loop cancels the
    call. Thread-safe.
    """

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._ended = threading.Event()
        left_s: Any = context.time_remaining()  # None without a deadline, contrary to the stubs
        self._deadline = math.inf if left_s is None else time.monotonic() + left_s
        context.add_done_callback(lambda _: self.cancel())  # type: ignore[arg-type]  # wrong stub

    def cancel(self) -> None:
        """Cancel the work; its result is no longer needed."""
        self._ended.set()

    def check(self) -> None:
        """Raise Cancelled if the call has ended, or TooLate past its deadline."""
        if self._ended.is_set():
            raise Cancelled("the client cancelled the call or disconnected")
        if time.monotonic() > self._deadline:
            raise TooLate("the call exceeded its deadline")
