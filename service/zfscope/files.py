"""Files that are written whole or not at all, and folders that one process at a time works in."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from zfscope.errors import CannotWrite, ZfscopeError
from zfscope.leftovers import held, new_name, remove_leftovers

# The file of a folder that is locked by the process that works in it.
LOCK = "lock"
_ADVICE = {
    errno.ENOSPC: "free some space there, or write to another disk",
    errno.EDQUOT: "free some of your quota there, or write to another disk",
    errno.EROFS: "write to another folder",
    errno.EACCES: "change its permissions, or write to another folder",
    errno.EPERM: "change its permissions, or write to another folder",
    errno.ENOTDIR: "name a folder that is not below a file",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate what the system refuses while `path` is written into CannotWrite, with path and advice."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason = error.strerror or (os.strerror(number) if number else str(error))
        advice = f"; {_ADVICE[number]}" if number in _ADVICE else ""
        raise CannotWrite(f"'{path}' cannot be written: {reason}{advice}", reason=reason) from error


def make_folder(path: Path) -> None:
    """Create a folder and those above it. Raises CannotWrite."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def folder_for_files(path: Path) -> Iterator[None]:
    """Create a folder and those above it; what was created and is empty in the end is removed again.

    Raises CannotWrite.
    """
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        make_folder(path)
        yield
    finally:
        for folder in created:
            with contextlib.suppress(OSError):  # it has files in it
                folder.rmdir()


def write_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file, or leave what was there; see `replacing`."""
    with replacing(path, durable=durable) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a new file, which takes the place of `path` once it is complete.

    durable: wait until it has reached the disk, for what a loss of power must not undo. A link is followed.
    What is not a regular file, such as a pipe, is written to as it is, and so is /dev/stdout.
    Raises CannotWrite, after removing the unfinished file; the earlier one is as it was.
    """
    with writing(path):
        if _is_device(path):
            with path.open("wb") as file:
                yield file
            return
        target = Path(os.path.realpath(path))
        remove_leftovers(target.parent)
        with _fresh_file(target) as fresh:
            with fresh.open("wb") as file:
                yield file
                file.flush()
                # Some file systems report a full disk only here, or not at all once the name is taken.
                if durable:
                    os.fsync(file.fileno())
            _keep_mode(target, fresh)
            fresh.replace(target)


@contextlib.contextmanager
def _fresh_file(target: Path) -> Iterator[Path]:
    """Create a file next to `target`, locked, and remove it unless it has taken the place of that one."""
    fresh = target.with_name(new_name())
    try:
        fresh.open("xb").close()
        with held(fresh) as fresh:
            yield fresh
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def _is_device(path: Path) -> bool:
    """Return whether a path is not one that another file may take: /dev/stdout may lead to a regular file."""
    return path.is_relative_to("/dev") or (path.exists() and not path.is_file())


def _keep_mode(earlier: Path, fresh: Path) -> None:
    """Copy the permissions of the file that a new one replaces."""
    with contextlib.suppress(OSError):
        fresh.chmod(stat.S_IMODE(earlier.stat().st_mode))


@contextlib.contextmanager
def staging_folder(parent: Path) -> Iterator[Path]:
    """Create a folder inside `parent` for files that are not finished, and remove it with what is left in it.

    Raises CannotWrite.
    """
    remove_leftovers(parent.resolve())
    folder = parent / new_name()
    try:
        with writing(parent):
            folder.mkdir()
        with held(folder) as folder:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path, otherwise: ZfscopeError | None) -> Iterator[None]:
    """Hold the lock file `path`, which ends with the process that holds it.

    otherwise: raised if another process holds it; None waits for that one.
    """
    from filelock import FileLock, Timeout  # not at the top: it imports asyncio

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


@contextlib.contextmanager
def exclusive_folder(
    folder: Path,
    *,
    busy: ZfscopeError,
    unwritable: Callable[[CannotWrite], ZfscopeError],
    tidy: Callable[[Path], object],
) -> Iterator[None]:
    """Create a folder and keep other processes out of it; it is removed again if it is empty in the end.

    busy: raised while another process holds it. unwritable: returns the error to raise if it cannot be
    written. tidy: called with the folder in the end, without the lock: not all systems remove a locked file.
    """
    with contextlib.ExitStack() as after:
        try:
            after.enter_context(folder_for_files(folder))
            with writing(folder):
                (folder / LOCK).touch()
        except CannotWrite as error:
            raise unwritable(error) from error
        with locked(folder / LOCK, otherwise=busy):
            after.callback(tidy, folder)
            yield
