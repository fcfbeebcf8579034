"""Cancelling calls from another thread, and the points at which work deep inside ends when its call does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from zfscope.errors import Cancelled

_check: ContextVar[Callable[[], None]] = ContextVar("check")


class Cancellation:
    """Cancels the calls that it was passed to, from any thread; those calls raise `Cancelled`.

        cancel = Cancellation()
        threading.Timer(5, cancel.cancel).start()
        client.occlude("photo.jpg", cancel=cancel)

    It cannot be undone: a call that gets a used one is cancelled at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._callbacks: list[Callable[[], object]] = []

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Cancel the calls in progress and all later ones."""
        with self._lock:
            self._cancelled = True
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raise Cancelled if `cancel` was called."""
        if self._cancelled:
            raise Cancelled("the call was cancelled")

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback`, in the thread that cancels, if that happens inside the block or before it."""
        with self._lock:
            self._callbacks.append(callback)
            cancelled = self._cancelled
        if cancelled:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


@contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Have each `checkpoint` inside, in this thread, call `check`, which raises to end the work."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def checkpoint() -> None:
    """Raise if the call of this work was cancelled; for drawing and other work that knows no calls."""
    check = _check.get(None)
    if check:
        check()
