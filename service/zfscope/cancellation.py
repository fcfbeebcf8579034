"""Cancellation of calls from another thread, and checkpoints at which long-running work stops."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from zfscope.errors import Cancelled

_check: ContextVar[Callable[[], None]] = ContextVar("check")


class Cancellation:
    """Handle that cancels the calls it was passed to, from any thread; those calls raise `Cancelled`.

        cancel = Cancellation()
        threading.Timer(5, cancel.cancel).start()
        client.occlude("photo.jpg", cancel=cancel)

    Cancellation is permanent: a call that receives a cancelled handle is cancelled immediately.
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
        """Call `callback` on cancellation inside the block, in the cancelling thread; at once if past."""
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
    """Make each `checkpoint` in this block and thread call `check`, which raises to stop the work."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def checkpoint() -> None:
    """Raise if the current call was cancelled; for drawing and other code that has no access to the call."""
    check = _check.get(None)
    if check:
        check()
