"""Work that looks, deep inside, whether anybody still waits for it: drawing, which is told of nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_check: ContextVar[Callable[[], None]] = ContextVar("check")


@contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Have each `checkpoint` inside, in this thread, call `check`, which raises where work is to end."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def checkpoint() -> None:
    """Raise what ends the work that this is a part of; do nothing where it goes on."""
    check = _check.get(None)
    if check:
        check()
