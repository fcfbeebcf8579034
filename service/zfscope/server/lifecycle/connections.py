"""The number of connections that a service accepts, within the files that its process may open."""

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog

INTERVAL_S = 1.0
# Descriptors that are kept for files, pipes and connections of the service's own.
_RESERVE = 48
_MIN_CONNECTIONS = 16
_MAX_CONNECTIONS = 1 << 20
_log = structlog.get_logger("zfscope.server")


def raise_open_file_limit() -> None:
    """Raise the limit of open files of this process as far as it is allowed without privileges."""
    with suppress(ImportError, OSError, ValueError):  # not everywhere, and macOS refuses an unlimited number
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else hard
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connection_limit() -> int:
    """Return the number of connections for which this process has descriptors."""
    try:
        import resource
    except ImportError:
        return _MAX_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return min(_MAX_CONNECTIONS, max(_MIN_CONNECTIONS, soft - (_count_open_files() or 0) - _RESERVE))


class ConnectionMonitor:
    """Logs once when no more connections are accepted, and once when there is room again.

    gRPC closes connections over the limit without a word.
    """

    def __init__(self, most: int) -> None:
        """most: the number of connections that are accepted; to be made before any is."""
        self._most, self._before = most, _count_open_files()
        self._full = False

    async def run(self, interval_s: float = INTERVAL_S) -> None:
        """Look every while, until this is cancelled."""
        while self._before is not None:
            await asyncio.sleep(interval_s)
            self.check()

    def check(self) -> None:
        """Compare the descriptors that are open now with those before the first connection."""
        open_files = _count_open_files()
        if open_files is None or self._before is None:
            return
        connections = open_files - self._before
        if not self._full and connections >= self._most:
            self._full = True
            _log.warning("connections are refused", reason="the limit is reached", limit=self._most)
        elif self._full and connections < 0.9 * self._most:
            self._full = False
            _log.info("connections are accepted again", limit=self._most)


def _count_open_files() -> int | None:
    """Count this process's descriptors; None where the system does not list them."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return sum(1 for _ in Path(folder).iterdir())
    return None
