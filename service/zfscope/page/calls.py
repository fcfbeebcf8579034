"""Calls of the client in bounded pools of threads; a client that leaves cancels its call."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request

from zfscope.cancellation import Cancellation
from zfscope.errors import Busy, Cancelled, NotReady

T = TypeVar("T")
_GONE = "the client closed the connection"
_SHUTDOWN = "the page is shutting down"


class Lane:
    """A pool of threads with a bounded queue; used by the event loop alone."""

    def __init__(self, name: str, threads: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"page-{name}")
        self._name, self._limit = name, threads + queue
        self._running: set[Cancellation] = set()
        self._closed = False

    @property
    def length(self) -> int:
        """Number of running and queued calls."""
        return len(self._running)

    def start(self, work: Callable[[Cancellation], T], cancel: Cancellation) -> "asyncio.Future[T]":
        """Run `work` in a thread. Raises Busy if the queue is full, NotReady after `close`."""
        if self._closed:
            raise NotReady(_SHUTDOWN)
        if len(self._running) >= self._limit:
            raise Busy(
                f"{len(self._running)} {self._name} are running or queued, the maximum; try again in a moment"
            )
        self._running.add(cancel)
        running: Future[T] = self._pool.submit(_unless_cancelled, work, cancel)
        future = asyncio.wrap_future(running)
        future.add_done_callback(lambda _: self._running.discard(cancel))
        return future

    async def run(self, work: Callable[[], T]) -> T:
        """Run short work that cannot be cancelled."""
        future = self.start(lambda _: work(), Cancellation())
        await asyncio.wait({future})
        return result_of(future)

    def close(self) -> None:
        """Cancel the calls in progress and reject new ones."""
        self._closed = True
        for cancel in tuple(self._running):
            cancel.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _unless_cancelled(work: Callable[[Cancellation], T], cancel: Cancellation) -> T:
    cancel.check()  # while it was queued
    return work(cancel)


async def run_until_gone(request: Request, lane: Lane, work: Callable[[Cancellation], T]) -> T:
    """Run `work` in a thread and return its result. Raises Cancelled if the client closes the connection.

    The body of the request must have been read.
    """
    cancel = Cancellation()
    running = lane.start(work, cancel)
    leaving: asyncio.Future[Any] = asyncio.ensure_future(_disconnected(request))
    try:
        pending: set[asyncio.Future[Any]] = {running, leaving}
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            raise Cancelled(_GONE)
        return result_of(running)
    finally:
        leaving.cancel()
        abandon(running, cancel)


def result_of(done: "asyncio.Future[T]") -> T:
    """Return the result of work that is done. Raises its exception; Cancelled if it was never started."""
    if done.cancelled():
        raise Cancelled(_SHUTDOWN)
    return done.result()


def abandon(running: "asyncio.Future[T]", cancel: Cancellation) -> None:
    """Cancel work whose result nobody reads, unless it is done; its exception is not reported."""
    if not running.done():
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        cancel.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
