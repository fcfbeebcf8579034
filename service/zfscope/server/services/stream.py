"""Progress messages from a worker thread to a response stream; only the newest are kept."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class MessageQueue(Generic[T]):
    """Queue of at most two messages from a worker thread to an asynchronous reader.

    It keeps the message that the reader was waiting for, and after it the newest one; each new message
    replaces the previous one that the reader was not waiting for. So a slow reader never delays the work, and
    memory stays bounded.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unread: list[tuple[T, bool]] = []  # with whether the reader was waiting for it
        self._changed = asyncio.Event()
        self._reader_waiting = False

    @property
    def reader_waiting(self) -> bool:
        """Whether the reader waits for the next message, which is then never replaced. Thread-safe."""
        return self._reader_waiting

    def put(self, message: T) -> None:
        """Add a message. Thread-safe."""
        awaited, self._reader_waiting = self._reader_waiting, False
        self._loop.call_soon_threadsafe(self._append, message, awaited)

    async def read_until(self, work: "asyncio.Future[Any]") -> AsyncIterator[T]:
        """Yield messages until the work is done. Closing the generator cancels the work."""
        work.add_done_callback(lambda _: self._changed.set())
        try:
            while not work.done() or self._unread:
                self._reader_waiting = True
                await self._changed.wait()
                self._changed.clear()
                while self._unread:
                    message, _ = self._unread.pop(0)
                    yield message
        finally:
            self._reader_waiting = False
            work.cancel()

    def _append(self, message: T, awaited: bool) -> None:
        if self._unread:
            _, last_was_awaited = self._unread[-1]
            if not last_was_awaited:
                self._unread.pop()
        self._unread.append((message, awaited))
        self._changed.set()
