"""Log of the connections that are rejected because there are too many."""

import asyncio

import structlog

from zfscope.open_files import count_open_files

# Seconds between two checks.
INTERVAL_S = 1.0
_log = structlog.get_logger("zfscope.server")


class ConnectionMonitor:
    """Logs when the connection limit is reached, and when connections are accepted again.

    gRPC closes connections over the limit without logging it.
    """

    def __init__(self, limit: int) -> None:
        """limit: maximum number of connections. Create the monitor before the first connection."""
        # Connections are not visible from Python; they are counted as the increase in open files.
        self._limit, self._before = limit, count_open_files()
        self._full = False

    async def run(self, interval_s: float = INTERVAL_S) -> None:
        """Check every `interval_s` seconds until cancelled."""
        while self._before is not None:
            await asyncio.sleep(interval_s)
            self.check()

    def check(self) -> None:
        """Compare the number of open files with that before the first connection; log a change."""
        open_files = count_open_files()
        if open_files is None or self._before is None:
            return
        connections = open_files - self._before
        if not self._full and connections >= self._limit:
            self._full = True
            _log.warning("connections rejected", reason="connection limit reached", limit=self._limit)
        elif self._full and connections < 0.9 * self._limit:
            self._full = False
            _log.info("connections accepted again", limit=self._limit)
