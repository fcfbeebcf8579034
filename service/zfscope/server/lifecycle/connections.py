"""Maximum number of connections, derived from the limit of open files of the process."""

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog

# Seconds between two checks.
INTERVAL_S = 1.0
# Descriptors reserved for the files, pipes and outgoing connections of the service.
_RESERVE = 48
_MIN_CONNECTIONS = 16
_MAX_CONNECTIONS = 1 << 20
_log = structlog.get_logger("zfscope.server")


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
    return min(_MAX_CONNECTIONS, max(_MIN_CONNECTIONS, soft - (_count_open_files() or 0) - _RESERVE))


class ConnectionMonitor:
    """Logs when the connection limit is reached, and when connections are accepted again.

    gRPC closes connections over the limit without logging it.
    """

    def __init__(self, limit: int) -> None:
        """limit: maximum number of connections. Create the monitor before the first connection."""
        # Connections are not visible from Python; they are counted as the increase in open files.
        self._limit, self._before = limit, _count_open_files()
        self._full = False

    async def run(self, interval_s: float = INTERVAL_S) -> None:
        """Check every `interval_s` seconds until cancelled."""
        while self._before is not None:
            await asyncio.sleep(interval_s)
            self.check()

    def check(self) -> None:
        """Compare the number of open files with that before the first connection; log a change."""
        open_files = _count_open_files()
        if open_files is None or self._before is None:
            return
        connections = open_files - self._before
        if not self._full and connections >= self._limit:
            self._full = True
            _log.warning("connections rejected", reason="connection limit reached", limit=self._limit)
        elif self._full and connections < 0.9 * self._limit:
            self._full = False
            _log.info("connections accepted again", limit=self._limit)


def _count_open_files() -> int | None:
    """Return the number of open descriptors of this process; None if the system does not list them."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return sum(1 for _ in Path(folder).iterdir())
    return None
