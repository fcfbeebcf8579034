"""Whether the caller of a request still waits, to be asked from any thread."""

import math
import threading
import time
from typing import Any

import grpc

from zfscope.errors import Cancelled, TooLate


class Cancel:
    """Set once the call ends, by whatever end; also past its deadline, which the thread sees first."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._ended = threading.Event()
        left_s: Any = context.time_remaining()  # None without a deadline, whatever the stubs say
        self._deadline = math.inf if left_s is None else time.monotonic() + left_s
        context.add_done_callback(lambda _: self.end())  # type: ignore[arg-type]  # a stub's error

    def end(self) -> None:
        """Let the work end: its answer is not waited for."""
        self._ended.set()

    def check(self) -> None:
        """Raise Cancelled when nobody waits for an answer any more."""
        if self._ended.is_set():
            raise Cancelled("the caller went away")
        if time.monotonic() > self._deadline:
            raise TooLate("the deadline has passed")
