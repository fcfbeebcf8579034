"""Warnings of Python and of libraries as a command prints them: one line each, and each once."""

import contextlib
import logging
import warnings
from collections.abc import Iterable
from typing import TextIO

from zfscope.cli.streams import OutputLost, echo
from zfscope.text import harmless


def warning_line(message: str) -> str:
    """Return the line of a warning: no line feeds, no control characters."""
    return harmless(" ".join(f"zfscope: warning: {message}".split()))


def print_lines_of_warnings(messages: Iterable[str]) -> None:
    """Print what may be wrong about a data set on stderr, a line each."""
    for message in messages:
        echo(warning_line(message), err=True)


def show_warnings() -> None:
    """Print what Python warns of, and what libraries log, on stderr from now on; the filters stay."""
    once = _Once()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        once.print(str(message))

    warnings.showwarning = show
    logging.basicConfig(handlers=[_Handler(once)], level=logging.WARNING)


class _Once:
    """Prints each message once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def print(self, message: str) -> None:
        if message not in self._seen:
            self._seen.add(message)
            with contextlib.suppress(OutputLost):  # the library that warns is not at fault
                echo(warning_line(message), err=True)


class _Handler(logging.Handler):
    """Prints what libraries log from WARNING up."""

    def __init__(self, once: _Once) -> None:
        super().__init__()
        self._once = once

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of a record, without its traceback."""
        self._once.print(record.getMessage())
