"""Locks that keep a second process out of a folder, on every system."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from zfscope.errors import ZfscopeError


@contextmanager
def locked(path: Path, otherwise: ZfscopeError | None) -> Iterator[None]:
    """Hold the lock file `path`, which ends with the process that holds it.

    otherwise: raised where another process holds it; None waits for that one.
    """
    lock = FileLock(path, timeout=-1 if otherwise is None else 0)
    try:
        lock.acquire()
    except Timeout as error:
        assert otherwise is not None  # without a limit there is no timeout
        raise otherwise from error
    try:
        yield
    finally:
        lock.release()
