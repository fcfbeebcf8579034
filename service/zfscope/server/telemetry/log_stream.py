"""The stream that the log is written to: a line that cannot be written is counted, and fails nothing."""

import os
import select
import threading
import time
from collections.abc import Callable
from typing import TextIO

# A pipe that is ready takes this number of bytes without blocking (PIPE_BUF of Linux).
_CHUNK = 4096
# How long a line waits for a slow reader. The event loop waits too, so that after a lost line none waits.
_TIMEOUT_S = 1.0


class LogStream:
    """Writes lines to a stream whose reader may leave or stall, and whose disk may be full.

    summary: returns the line that reports the given number of lost lines. It is written in front of the first
    line that can be written again.
    """

    def __init__(self, stream: TextIO | None, summary: Callable[[int], str]) -> None:
        """stream: None where it was closed before the start."""
        self._stream = stream
        self._summary = summary
        self._lock = threading.RLock()
        self._line_truncated = False
        self._unreported = 0
        self.lost = 0

    def isatty(self) -> bool:
        """Return whether a person reads the log in a terminal."""
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write whole lines, or count them as lost."""
        with self._lock:
            if self._try_write((self._summary(self._unreported) if self._unreported else "") + text):
                self._unreported = 0
            else:
                lines = text.count("\n")
                self.lost += lines
                self._unreported += lines
        return len(text)

    def flush(self) -> None:
        """Do nothing: lines are written at once."""

    def _try_write(self, text: str) -> bool:
        """Return whether a text was written as a whole."""
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
        except (OSError, ValueError):  # ValueError: the stream was closed
            return False

    def _descriptor(self) -> int | None:
        """Return the file descriptor of the stream; None for a stream that has none."""
        assert self._stream is not None
        try:
            return self._stream.fileno()
        except OSError:  # of a test or a notebook
            return None

    def _write_chunks(self, descriptor: int, encoded: bytes) -> bool:
        """Write bytes in chunks that do not block; return whether all of them were written."""
        until = time.monotonic() + (0 if self._unreported else _TIMEOUT_S)
        left = memoryview(encoded)
        while left:
            if not _wait_writable(descriptor, until - time.monotonic()):
                return False
            written = os.write(descriptor, left[:_CHUNK])
            left = left[written:]
            self._line_truncated = bool(left)
        return True


def _wait_writable(descriptor: int, seconds: float) -> bool:
    """Wait until a descriptor takes a chunk; return whether it does."""
    if not hasattr(select, "poll"):  # on Windows
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(max(seconds, 0) * 1000))
