"""From a thread that works to a stream that is read: the newest message only, so that none pile up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Holds one message. A newer one takes the place of one that was not read in time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._message: T | None = None
        self._changed = asyncio.Event()

    def put(self, message: T) -> None:
        """Leave a message; from any thread."""
        self._loop.call_soon_threadsafe(self._take, message)

    async def until(self, work: "asyncio.Future[Any]") -> AsyncIterator[T]:
        """Give messages until the work is done; it is cancelled when nobody reads any more."""
        work.add_done_callback(lambda _: self._changed.set())
        try:
            while not work.done() or self._message is not None:
                await self._changed.wait()
                self._changed.clear()
                if self._message is not None:
                    message, self._message = self._message, None
                    yield message
        finally:
            work.cancel()

    def _take(self, message: T) -> None:
        self._message = message
        self._changed.set()
