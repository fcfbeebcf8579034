"""Unfinished files and folders are locked by their writer, so that those of a killed one can be removed.

The lock ends with the process, even at `kill -9`; a process number could be another process's by then.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where no folder can be locked: nothing is removed there
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".zfscope-"
"""How the names of files and folders begin that are not finished."""

# Only a name that ends so was locked before it had that name: anything else may be in use.
_HELD = "-held"
_OURS = re.compile(rf"{re.escape(PARTIAL)}[0-9a-f]{{16}}{_HELD}")

_searched: set[Path] = set()


def new_name() -> str:
    """Return a name for a file or folder that is not finished."""
    return f"{PARTIAL}{secrets.token_hex(8)}"


@contextlib.contextmanager
def held(path: Path) -> Iterator[Path]:
    """Lock an unfinished file or folder and yield its path, which changes with that.

    It keeps its name where the file system has no locks, as some of networks: then it is never removed.
    """
    lock = _lock(path)
    try:
        yield path if lock is None else _renamed(path)
    finally:
        if lock is not None:
            os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files and folders of processes that no longer exist; search a folder once."""
    if folder in _searched:
        return
    _searched.add(folder)
    with contextlib.suppress(OSError):  # one that cannot be read, or does not exist yet
        for path in [Path(entry.path) for entry in os.scandir(folder) if _OURS.fullmatch(entry.name)]:
            _remove(path)


def _remove(path: Path) -> None:
    lock = _lock(path)
    if lock is None:  # a process writes it still
        return
    try:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    finally:
        os.close(lock)


def _lock(path: Path) -> int | None:
    """Lock a file or folder until what is returned is closed; None where it cannot be locked."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _renamed(path: Path) -> Path:
    try:
        return path.rename(path.with_name(f"{path.name}{_HELD}"))
    except OSError:
        return path
