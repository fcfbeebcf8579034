"""Warnings of Python and libraries on stderr: one line each, without repetition."""

import contextlib
import logging
import warnings
from collections.abc import Iterable
from typing import TextIO

from zfscope.cli.streams import OutputLost, echo
from zfscope.text import harmless, one_line


def warning_line(message: str) -> str:
    """Format a warning as one line without control characters."""
    return harmless(one_line(f"zfscope: warning: {message}"))


def print_data_warnings(messages: Iterable[str]) -> None:
    """Print warnings about a data set on stderr, one per line."""
    for message in messages:
        echo(warning_line(message), err=True)


def show_warnings() -> None:
    """Print Python's warnings and libraries' log records on stderr; warning filters stay unchanged."""
    once = _UniquePrinter()

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


class _UniquePrinter:
    """Printer that drops repeated messages."""

    def __init__(self) -> None:
        self._printed: set[str] = set()

    def print(self, message: str) -> None:
        if message not in self._printed:
            self._printed.add(message)
            with contextlib.suppress(OutputLost):  # the warning library must not see our write errors
                echo(warning_line(message), err=True)


class _Handler(logging.Handler):
    """Log handler that prints records of level WARNING and above."""

    def __init__(self, once: _UniquePrinter) -> None:
        super().__init__()
        self._once = once

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of a record without its traceback."""
        self._once.print(record.getMessage())
