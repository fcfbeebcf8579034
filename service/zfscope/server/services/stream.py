"""From a thread that works to a stream that is read: the newest messages only, so that none pile up."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class MessageQueue(Generic[T]):
    """Holds what was not read yet: the message that somebody waited for, and after it the newest.

    A newer one takes the place of one that nobody waited for.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unread: list[tuple[T, bool]] = []
        self._changed = asyncio.Event()
        self._awaited = False

    @property
    def reader_waiting(self) -> bool:
        """Whether somebody waits for the next message, so that none takes its place; from any thread."""
        return self._awaited

    def put(self, message: T) -> None:
        """Leave a message; from any thread."""
        awaited, self._awaited = self._awaited, False
        self._loop.call_soon_threadsafe(self._take, message, awaited)

    async def read_until(self, work: "asyncio.Future[Any]") -> AsyncIterator[T]:
        """Yield messages until the work is done; it is cancelled when nobody reads any more."""
        work.add_done_callback(lambda _: self._changed.set())
        try:
            while not work.done() or self._unread:
                self._awaited = True
                await self._changed.wait()
                self._changed.clear()
                while self._unread:
                    message, _ = self._unread.pop(0)
                    yield message
        finally:
            self._awaited = False
            work.cancel()

    def _take(self, message: T, awaited: bool) -> None:
        if self._unread:
            _, last_was_awaited = self._unread[-1]
            if not last_was_awaited:
                self._unread.pop()
        self._unread.append((message, awaited))
        self._changed.set()


class Cooldown:
    """A time in which something is not done again; it is over before it begins for the first time."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock()

    @property
    def over(self) -> bool:
        """Whether the cooldown has passed."""
        return self._clock() >= self._end

    def start(self) -> None:
        """Begin the cooldown, again if it lasts."""
        self._end = self._clock() + self._seconds
