"""Standard output and standard error: any name can be printed, and a reader may leave."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from zfscope.text import harmless, printable

# What shells report of a program that wrote to a pipe nobody reads: 128 and the number of SIGPIPE.
BROKEN_PIPE_EXIT = 141


def print_any_name() -> None:
    """Have characters that a stream lacks escaped, such as names of files that are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class OutputLost(Exception):
    """Nobody reads the output any more, or it cannot be written to; `reason` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.reason = error.strerror or str(error)
        self.broken_pipe = isinstance(error, BrokenPipeError)


def echo(words: str, *, err: bool = False) -> None:
    """Print words for people on stdout or stderr, control characters escaped. Raises OutputLost."""
    write(printable(words) + "\n", err=err)


def write(words: str, *, err: bool = False) -> None:
    """Write words as they are to stdout or stderr at once. Raises OutputLost.

    typer's own printing writes UTF-8, whatever encoding the stream has.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None:  # closed before the start
        return
    with printing_to(stream):
        print(words, file=stream, end="", flush=True)


@contextlib.contextmanager
def printing_to(stream: TextIO) -> Iterator[None]:
    """Raise OutputLost where a stream cannot be written to."""
    try:
        yield
    except OSError as error:
        _send_nowhere(stream)
        raise OutputLost(error) from error


def encodable(words: str) -> str:
    """Return words as standard output shows them, where what it lacks is escaped: for widths of columns."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return harmless(words).encode(encoding, "backslashreplace").decode(encoding)


def _send_nowhere(stream: TextIO) -> None:
    """Discard what a stream still holds: the interpreter would report the fault again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
