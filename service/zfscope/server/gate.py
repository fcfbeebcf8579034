"""Whether the service takes work: not before it is ready, no more once it shuts down."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from zfscope.errors import NotReady


class Gate:
    """Lets requests in while it is open, and knows when the last one has left."""

    def __init__(self) -> None:
        self._shut_because = "the service is still loading its model; try again in a moment"
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def is_open(self) -> bool:
        """Whether requests are let in."""
        return not self._shut_because

    def open(self) -> None:
        """Let requests in from now on."""
        self._shut_because = ""

    def shut(self) -> None:
        """Let no more requests in; those inside go on."""
        self._shut_because = "the service is shutting down; try another one"

    @contextmanager
    def passage(self) -> Iterator[None]:
        """Hold a place inside. Raises NotReady while the gate is shut."""
        if self._shut_because:
            raise NotReady(self._shut_because)
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    async def emptied(self, timeout_s: float) -> bool:
        """Wait until nobody is inside; False when somebody still is after the timeout."""
        if not self._inside:
            return True
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
