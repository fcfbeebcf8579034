"""Locks on temporary files and folders, so that those of killed processes can be removed.

The lock is released with the process, even by `kill -9`; a recorded process id could have been reused.
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
except ImportError:  # Windows cannot lock folders: nothing is removed there
    fcntl = None  # type: ignore[assignment]

# Prefix of the names of temporary files and folders.
PARTIAL = ".zfscope-"

# This suffix is added only after locking: a name without it may belong to a running process.
_HELD = "-held"
_OURS = re.compile(rf"{re.escape(PARTIAL)}[0-9a-f]{{16}}{_HELD}")

_searched: set[Path] = set()


def new_name() -> str:
    """Return a name for a temporary file or folder."""
    return f"{PARTIAL}{secrets.token_hex(8)}"


@contextlib.contextmanager
def held(path: Path) -> Iterator[Path]:
    """Lock a temporary file or folder, rename it to mark it as locked, and yield its new path.

    On file systems without locks, such as some network file systems, it keeps its name and is never removed
    by another process.
    """
    lock = _lock(path)
    try:
        yield path if lock is None else _renamed(path)
    finally:
        if lock is not None:
            os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders of ended processes; each folder is searched once per process."""
    if folder in _searched:
        return
    _searched.add(folder)
    with contextlib.suppress(OSError):  # unreadable or not created yet
        for path in [Path(entry.path) for entry in os.scandir(folder) if _OURS.fullmatch(entry.name)]:
            _remove(path)


def _remove(path: Path) -> None:
    lock = _lock(path)
    if lock is None:  # still in use by a process
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
    """Lock a file or folder; return the descriptor that holds the lock until closed, None if not lockable."""
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
