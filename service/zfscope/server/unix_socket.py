"""Unix sockets to listen on: a file that only permitted users and groups of this machine may connect to."""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zfscope.listening import listen_error

# Seconds to wait for a process that may be listening.
_CONNECT_S = 1.0
_REASONS = {
    errno.ENOENT: "its folder does not exist",
    errno.ENOTDIR: "its folder does not exist",
    errno.EACCES: "the user of this process may not create files in its folder",
    errno.EROFS: "its folder is read-only",
}


@contextmanager
def claim_socket(path: Path, mode: int) -> Iterator[None]:
    """Prepare a path for a socket that is bound within the context, with the permissions `mode`.

    gRPC removes a socket that exists, whether or not a process listens on it. Raises InputError if one does,
    or if another kind of file has this name; a socket that a killed process left behind is replaced.
    """
    if path.is_symlink() or path.exists():
        _check_left_behind(path)
    before = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(before)


def bind_reason(path: Path) -> str:
    """Return why a socket cannot be bound, which gRPC does not report. Tries to bind it again."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(os.fspath(path))
        path.unlink()
    except OSError as error:
        return _REASONS.get(error.errno or 0, error.strerror or str(error))
    return "it is in use"


def _check_left_behind(path: Path) -> None:
    """Raise InputError unless a path is a socket that no process listens on."""
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise listen_error(f"unix:{path}", "a file that is not a socket has this name")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise listen_error(f"unix:{path}", "it belongs to another user") from error
    raise listen_error(f"unix:{path}", "another process listens on it")
