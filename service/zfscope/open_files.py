"""The limit of open files of this process, and the number of connections that it allows."""

from contextlib import suppress
from pathlib import Path

# Descriptors reserved for the files and pipes of a server, and for connections of probes and of metrics.
_RESERVE = 48
_MIN_CONNECTIONS = 16
_MAX_CONNECTIONS = 1 << 20


def raise_open_file_limit() -> None:
    """Raise the limit of open files of this process to the maximum allowed without privileges."""
    # ImportError: Windows lacks the module. ValueError: macOS rejects an infinite limit.
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        target = _MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else hard
        if soft != resource.RLIM_INFINITY and soft < target:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


def connection_limit() -> int:
    """Return the number of connections for which this process has file descriptors."""
    try:
        import resource
    except ImportError:
        return _MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return min(_MAX_CONNECTIONS, max(_MIN_CONNECTIONS, soft - (count_open_files() or 0) - _RESERVE))


def count_open_files() -> int | None:
    """Return the number of open descriptors of this process; None if the system does not list them."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return sum(1 for _ in Path(folder).iterdir())
    return None
