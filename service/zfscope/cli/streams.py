"""Standard output and standard error that survive unencodable names and closed pipes."""

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from zfscope.text import harmless, printable

# Exit code of a program killed by SIGPIPE, as shells report it: 128 + 13.
BROKEN_PIPE_EXIT = 141


def escape_unencodable() -> None:
    """Escape characters that a stream's encoding lacks, such as file names that are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def guard_streams() -> None:
    """Make every failed write, also by typer and rich, raise OutputLost on stdout and pass on stderr.

    A failed write to stderr cannot be reported anywhere, so it is dropped. Descriptors 0 to 2 that were
    closed before the start are opened on /dev/null: otherwise the next file or socket would get their numbers
    and receive the output of C libraries.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = _wrap_stream(sys.stdout, _StdoutFile, 1)
    # Without a stderr, typer would print its errors on stdout.
    sys.stderr = _wrap_stream(sys.stderr or open(2, "w", encoding="utf-8", closefd=False), _StderrFile, 2)  # noqa: SIM115


class _BlockingFile(io.FileIO):
    """File that waits for a slow reader even if its pipe is non-blocking."""

    def write(self, data: Any, /) -> int:
        """Write some of the bytes; return their number."""
        while (written := super().write(data)) is None:
            select.select([], [self], [])
        return written


class _StdoutFile(_BlockingFile):
    """Standard output whose failed writes raise OutputLost."""

    def write(self, data: Any, /) -> int:
        """Write bytes. Raises OutputLost, after which all further output is discarded."""
        try:
            return super().write(data)
        except OSError as error:
            _discard_output(self)
            raise OutputLost(error) from error


class _StderrFile(_BlockingFile):
    """Standard error that ignores failed writes."""

    def write(self, data: Any, /) -> int:
        """Write bytes, or drop them if that fails."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _wrap_stream(stream: Any, kind: type[io.FileIO], descriptor: int) -> Any:
    """Return a stream that writes to the descriptor through `kind`; return a test's stream unchanged."""
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


class _ReservedStdout:
    """The original standard output, after `reserve_stdout` has redirected it to standard error."""

    own: TextIO | None = None
    other: TextIO | None = None


def reserve_stdout() -> None:
    """Redirect standard output to standard error, except for output of `write`.

    Keeps the output of analyzers out of the JSON. The redirection lasts until the process ends, as threads of
    an analyzer may outlive a call, and includes file descriptor 1, used by C libraries and subprocesses.
    """
    stdout = sys.stdout
    if stdout is None or stdout is _ReservedStdout.other:
        return
    stdout.flush()
    _ReservedStdout.own = _duplicate_stdout(stdout)
    _ReservedStdout.other = sys.stdout = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # for good


def standard_output() -> TextIO | None:
    """Return the standard output of the command itself; None if it was closed before the start."""
    return (
        _ReservedStdout.own if _ReservedStdout.other and sys.stdout is _ReservedStdout.other else sys.stdout
    )


def _duplicate_stdout(stream: TextIO) -> TextIO:
    """Duplicate a stream on descriptor 1 and point 1 at standard error; return any other stream unchanged."""
    try:
        if stream.fileno() != 1:
            return stream
    except OSError:  # a stream without a descriptor, in a test or a notebook
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
    """The output cannot be written, for example because its reader closed the pipe; see `reason`."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error
        self.reason = error.strerror or str(error)
        self.broken_pipe = isinstance(error, BrokenPipeError)


def echo(text: str, *, err: bool = False) -> None:
    """Print a line on stdout or stderr, with control characters escaped. Raises OutputLost."""
    write(printable(text) + "\n", err=err)


def write(text: str, *, err: bool = False) -> None:
    """Write text unchanged to stdout or stderr and flush. Raises OutputLost.

    Used instead of `typer.echo`, which writes UTF-8 regardless of the stream's encoding.
    """
    stream = sys.stderr if err else standard_output()
    if stream is None:  # closed before the start
        return
    with translate_write_errors(stream):
        print(text, file=stream, end="", flush=True)


@contextlib.contextmanager
def translate_write_errors(stream: TextIO) -> Iterator[None]:
    """Raise OutputLost if writing to a stream fails."""
    try:
        yield
    except OSError as error:
        _discard_output(stream)
        raise OutputLost(error) from error


def escape_for_stdout(text: str) -> str:
    """Return text as standard output will show it, escapes included, to compute column widths."""
    encoding = getattr(standard_output(), "encoding", None) or "utf-8"
    return harmless(text).encode(encoding, "backslashreplace").decode(encoding)


def _discard_output(stream: TextIO | io.FileIO) -> None:
    """Discard a stream's buffer, as the interpreter would report the failed write again on exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
