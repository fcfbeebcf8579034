"""Standard output and standard error: any name can be printed, and a reader may leave."""

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from zfscope.text import harmless, printable

# What shells report of a program that wrote to a pipe nobody reads: 128 and the number of SIGPIPE.
BROKEN_PIPE_EXIT = 141


def print_any_name() -> None:
    """Have characters that a stream lacks escaped, such as names of files that are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def guard_streams() -> None:
    """Have whatever prints, typer and rich too, raise OutputLost on stdout, and nothing on stderr.

    A stderr that cannot be written to can report nothing, its own fault included. Descriptors that were
    closed before the start lead to nowhere: otherwise the next files or sockets would get their numbers, and
    what C libraries print.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdout = _guarded(sys.stdout, _Output, 1)
    # typer would print its errors on stdout if there were no stderr.
    sys.stderr = _guarded(sys.stderr or open(2, "w", encoding="utf-8", closefd=False), _Errors, 2)  # noqa: SIM115


class _Patient(io.FileIO):
    """A file that waits for a slow reader, even where its pipe does not block."""

    def write(self, data: Any, /) -> int:
        """Write some of the bytes; return their number."""
        while (written := super().write(data)) is None:
            select.select([], [self], [])
        return written


class _Output(_Patient):
    """Standard output, which raises OutputLost."""

    def write(self, data: Any, /) -> int:
        """Write bytes. Raises OutputLost, and discards all output that follows."""
        try:
            return super().write(data)
        except OSError as error:
            _send_nowhere(self)
            raise OutputLost(error) from error


class _Errors(_Patient):
    """Standard error, which drops what cannot be written."""

    def write(self, data: Any, /) -> int:
        """Write bytes, or drop them."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _guarded(stream: Any, kind: type[io.FileIO], descriptor: int) -> Any:
    """Return a stream that writes to the descriptor by `kind`; any other stream, as of a test, as it is."""
    raw = getattr(getattr(stream, "buffer", None), "raw", getattr(stream, "buffer", None))
    if type(raw) is not io.FileIO or raw.fileno() != descriptor:
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(kind(descriptor, "wb", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=True,
    )


class _Kept:
    """Standard output as this process found it, once all but `write` prints to standard error."""

    own: TextIO | None = None
    other: TextIO | None = None


def keep_stdout() -> None:
    """Send to standard error whatever is printed on standard output from here on, except by `write`.

    What analyzers print must not be in the middle of JSON. It is so until the process ends, as their threads
    may outlive a call, and for file descriptor 1, which C libraries and other programs write to.
    """
    stdout = sys.stdout
    if stdout is None or stdout is _Kept.other:
        return
    stdout.flush()
    _Kept.own = _moved(stdout)
    _Kept.other = sys.stdout = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # for good


def standard_output() -> TextIO | None:
    """Return the standard output of the command itself; None where it was closed before the start."""
    return _Kept.own if _Kept.other and sys.stdout is _Kept.other else sys.stdout


def _moved(stream: TextIO) -> TextIO:
    """Return a stream with a descriptor of its own, leaving 1 to standard error; else the stream itself."""
    try:
        if stream.fileno() != 1:
            return stream
    except OSError:  # of a test or a notebook
        return stream
    own = os.fdopen(os.dup(1), "w", encoding=stream.encoding, errors=stream.errors)
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    return own


class OutputLost(Exception):
    """Nobody reads the output any more, or it cannot be written to; `reason` says why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error
        self.reason = error.strerror or str(error)
        self.broken_pipe = isinstance(error, BrokenPipeError)


def echo(words: str, *, err: bool = False) -> None:
    """Print words for people on stdout or stderr, control characters escaped. Raises OutputLost."""
    write(printable(words) + "\n", err=err)


def write(words: str, *, err: bool = False) -> None:
    """Write words as they are to stdout or stderr at once. Raises OutputLost.

    typer's own printing writes UTF-8, whatever encoding the stream has.
    """
    stream = sys.stderr if err else standard_output()
    if stream is None:  # closed before the start
        return
    with printing_to(stream):
        print(words, file=stream, end="", flush=True)


def one_line(words: str) -> str:
    """Return a message of several lines as one."""
    return " ".join(words.split())


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
    encoding = getattr(standard_output(), "encoding", None) or "utf-8"
    return harmless(words).encode(encoding, "backslashreplace").decode(encoding)


def _send_nowhere(stream: TextIO | io.FileIO) -> None:
    """Discard what a stream still holds: the interpreter would report the fault again when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
