"""Threads for the work of requests: a few, so that the event loop stays free."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from zfscope.server.tracing import part

T = TypeVar("T")


class Workers:
    """Runs blocking calls, so many at once; how many may wait for their turn is the gate's affair."""

    def __init__(self, threads: int, *, waited: Callable[[float], object] = lambda _: None) -> None:
        """waited: is told, from a thread, for how many seconds a call waited for it."""
        self._waited = waited
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="zfscope")

    async def run(self, work: Callable[[], T]) -> T:
        """Give the result of a call, which sees the context variables of who asks for it.

        A caller that goes away takes its waiting work out of the queue; work that runs ends by itself,
        and holds its thread until then.
        """
        run = copy_context().run
        return await asyncio.wrap_future(self._pool.submit(run, self._begin, work, time.perf_counter()))

    def close(self) -> None:
        """Drop what waits, and wait for what runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, work: Callable[[], T], since: float) -> T:
        self._waited(time.perf_counter() - since)
        with part("work"):
            return _contained(work)


def _contained(work: Callable[[], T]) -> T:
    """Run a call, and keep what would mean something else on the event loop from reaching it.

    There SystemExit and KeyboardInterrupt end the service, and a CancelledError passes for a cancelled call.
    """
    try:
        return work()
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, CancelledError):
            raise
        raise RuntimeError(f"work raised {type(error).__name__}") from error
