"""When calls end: by their deadline, which the service limits, or because the caller is gone."""

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
    """default_s: for a call without a deadline. max_s: for any call."""

    default_s: float = 300
    max_s: float = 900

    def timeout_s(self, context: grpc.aio.ServicerContext[Any, Any], *, stream: bool = False) -> float:
        """Return the time that a call has from now on.

        stream: whether the answer is a stream. Without a deadline a stream gets the longest time: its caller
        reads its progress, and so waits on purpose.
        """
        left_s: Any = context.time_remaining()  # None without a deadline, whatever the stubs say
        unsaid_s = self.max_s if stream else self.default_s
        return min(unsaid_s if left_s is None else left_s, self.max_s)


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Cancel what is awaited inside when the time is over. Raises TooLate then."""
    try:
        async with asyncio.timeout(seconds) as timer:
            yield
    except TimeoutError as error:
        if timer.expired():
            raise TooLate(f"the deadline has passed: the call had {seconds:.3g} s") from error
        raise


class CallCancellation:
    """Whether the caller of a request still waits, asked from any thread.

    It is set once the call ends, however it ends, and past its deadline, which the thread sees first.
    """

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._ended = threading.Event()
        left_s: Any = context.time_remaining()  # None without a deadline, whatever the stubs say
        self._deadline = math.inf if left_s is None else time.monotonic() + left_s
        context.add_done_callback(lambda _: self.cancel())  # type: ignore[arg-type]  # a stub's error

    def cancel(self) -> None:
        """Let the work end: nobody waits for its answer."""
        self._ended.set()

    def check(self) -> None:
        """Raise Cancelled if the call has ended, TooLate past its deadline."""
        if self._ended.is_set():
            raise Cancelled("the client cancelled the call or disconnected")
        if time.monotonic() > self._deadline:
            raise TooLate("the deadline has passed")
