"""Output stream of the log: lines that cannot be written are counted instead of raising."""

import os
import select
import threading
import time
from collections.abc import Callable
from typing import TextIO

# Bytes that a pipe accepts without blocking when it is ready (PIPE_BUF on Linux).
_CHUNK = 4096
# Seconds that a line waits for a slow reader. The event loop waits too, so after a lost line none waits.
_TIMEOUT_S = 1.0


class LogStream:
    """Text stream that survives a reader that disconnects or stalls, and a full disk.

    summary: returns the line that reports the given number of lost lines; it is written before the next line
    that can be written.
    """

    def __init__(self, stream: TextIO | None, summary: Callable[[int], str]) -> None:
        """stream: None if it was closed before the process started."""
        self._stream = stream
        self._summary = summary
        self._lock = threading.RLock()
        self._line_truncated = False
        self._unreported = 0
        self.lost = 0

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write complete lines, or count them as lost; return the length of the text in either case."""
        with self._lock:
            if self._try_write((self._summary(self._unreported) if self._unreported else "") + text):
                self._unreported = 0
            else:
                lines = text.count("\n")
                self.lost += lines
                self._unreported += lines
        return len(text)

    def flush(self) -> None:
        """Do nothing: lines are written immediately."""

    def _try_write(self, text: str) -> bool:
        """Write a text; return whether all of it was written."""
        if self._stream is None:
            return False
        try:
            descriptor = self._descriptor()
            if descriptor is None:
                self._stream.write(text)
                self._stream.flush()
                return True
            encoded = text.encode(self._stream.encoding or "utf-8", "backslashreplace")
            return self._write_chunks(descriptor, b"\n" + encoded if self._line_truncated else encoded)
        except (OSError, ValueError):  # ValueError: the stream is closed
            return False

    def _descriptor(self) -> int | None:
        """Return the file descriptor of the stream; None if it has none."""
        assert self._stream is not None
        try:
            return self._stream.fileno()
        except OSError:  # in tests and notebooks
            return None

    def _write_chunks(self, descriptor: int, encoded: bytes) -> bool:
        """Write bytes in chunks that do not block; return whether all were written."""
        deadline = time.monotonic() + (0 if self._unreported else _TIMEOUT_S)
        left = memoryview(encoded)
        while left:
            if not _wait_writable(descriptor, deadline - time.monotonic()):
                return False
            written = os.write(descriptor, left[:_CHUNK])
            left = left[written:]
            self._line_truncated = bool(left)
        return True


def _wait_writable(descriptor: int, seconds: float) -> bool:
    """Wait until a descriptor is writable; return whether it is."""
    if not hasattr(select, "poll"):  # on Windows
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(max(seconds, 0) * 1000))
