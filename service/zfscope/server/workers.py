"""Threads for the work of requests: a few, with a short queue, so that the event loop stays free."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from zfscope.server.status import Busy

T = TypeVar("T")


class Workers:
    """Runs blocking calls, `threads` at once and `queue` more waiting; what goes beyond is refused."""

    def __init__(self, *, threads: int, queue: int) -> None:
        self._places = threads + queue
        self._free = threading.Semaphore(self._places)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="zfscope")

    async def run(self, work: Callable[[], T]) -> T:
        """Give the result of a call. Raises Busy when the queue is full.

        A caller that goes away takes its waiting work out of the queue; work that runs ends by itself,
        and holds its thread until then.
        """
        if not self._free.acquire(blocking=False):
            raise Busy(f"all {self._places} places of the service are taken; try again in a moment")
        try:
            future = self._pool.submit(work)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Drop what waits, and wait for what runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self, _: "Future[Any]") -> None:
        self._free.release()
