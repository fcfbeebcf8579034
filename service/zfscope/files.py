"""Atomic file writes, and folders that only one process uses at a time."""

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

# Lock file inside a folder, held by the process that uses the folder.
LOCK = "lock"
_ADVICE = {
    errno.ENOSPC: "free some space there, or write to another disk",
    errno.EDQUOT: "free some of your quota there, or write to another disk",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f), or write to another disk",
    errno.EROFS: "write to another folder",
    errno.EACCES: "change its permissions, or write to another folder",
    errno.EPERM: "change its permissions, or write to another folder",
    errno.ENOTDIR: "choose a folder that is not below a file",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate operating system errors while `path` is written into CannotWrite, with advice."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason = error.strerror or (os.strerror(number) if number else str(error))
        advice = f"; {_ADVICE[number]}" if number in _ADVICE else ""
        raise CannotWrite(f"'{path}' cannot be written: {reason}{advice}", reason=reason) from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents. Raises CannotWrite."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def folder_for_files(path: Path) -> Iterator[None]:
    """Create a folder and its parents; on exit, remove those created here that are still empty.

    Raises CannotWrite.
    """
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        make_folder(path)
        yield
    finally:
        for folder in created:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def write_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file atomically; see `replacing`."""
    with replacing(path, durable=durable) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` once it is complete.

    durable: flush the file to disk first, so that it survives a power loss. Symbolic links are followed.
    Pipes, devices and /dev/stdout are written to directly.
    Raises CannotWrite after removing the temporary file; the earlier file is unchanged.
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
                # Some file systems report a full disk only at fsync, or never after the rename.
                if durable:
                    os.fsync(file.fileno())
            _keep_mode(target, fresh)
            fresh.replace(target)


@contextlib.contextmanager
def _fresh_file(target: Path) -> Iterator[Path]:
    """Create a locked temporary file next to `target`, and remove it on failure."""
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
    """Return whether a path must be written in place: /dev/stdout may refer to a regular file."""
    return path.is_relative_to("/dev") or (path.exists() and not path.is_file())


def _keep_mode(earlier: Path, fresh: Path) -> None:
    """Copy the permissions of the file being replaced."""
    with contextlib.suppress(OSError):
        fresh.chmod(stat.S_IMODE(earlier.stat().st_mode))


@contextlib.contextmanager
def staging_folder(parent: Path) -> Iterator[Path]:
    """Create a temporary folder inside `parent` and remove it with its contents on exit.

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
    """Hold the lock file `path`; the lock is released when the process ends, even if it is killed.

    otherwise: error raised if another process holds the lock; None waits for it.
    """
    from filelock import FileLock, Timeout  # imported late: it imports asyncio

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
def unfinished_folder(
    target: Path,
    *,
    state: str,
    draft: str,
    busy: ZfscopeError,
    unwritable: Callable[[CannotWrite], ZfscopeError],
) -> Iterator[Path]:
    """Create and lock `.NAME.unfinished` next to the folder `target`, and yield it; see `exclusive_folder`.

    state: file in it from which a later run resumes; it is removed at the end of the block, and stays after
    an error. draft: folder in it that is removed in any case. Without a state, everything is removed.
    """

    def tidy(folder: Path) -> None:
        shutil.rmtree(folder / draft, ignore_errors=True)
        if not (folder / state).exists():
            shutil.rmtree(folder, ignore_errors=True)

    folder = target.with_name(f".{target.name}.unfinished")
    with exclusive_folder(folder, busy=busy, unwritable=unwritable, tidy=tidy):
        yield folder
        (folder / state).unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive_folder(
    folder: Path,
    *,
    busy: ZfscopeError,
    unwritable: Callable[[CannotWrite], ZfscopeError],
    tidy: Callable[[Path], object],
) -> Iterator[None]:
    """Create a folder and lock it against other processes; remove it on exit if it is empty.

    busy: error raised while another process holds the lock. unwritable: returns the error to raise if the
    folder is not writable. tidy: called with the folder after the lock is released, because some systems
    cannot remove a locked file.
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
