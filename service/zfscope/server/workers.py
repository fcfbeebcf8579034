"""Threads for the work of requests: a few, so that the event loop stays free."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Workers:
    """Runs blocking calls, so many at once; how many may wait for their turn is the gate's affair."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="zfscope")

    async def run(self, work: Callable[[], T]) -> T:
        """Give the result of a call.

        A caller that goes away takes its waiting work out of the queue; work that runs ends by itself,
        and holds its thread until then.
        """
        return await asyncio.wrap_future(self._pool.submit(work))

    def close(self) -> None:
        """Drop what waits, and wait for what runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)
