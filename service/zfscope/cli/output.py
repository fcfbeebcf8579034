"""What commands print: one JSON object for programs, tables for people."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from zfscope.cli.streams import echo, encodable, one_line, printing_to, standard_output, write
from zfscope.text import harmless

if TYPE_CHECKING:
    from zfscope.results import Cell, Notice


MOST_ROWS = 1_000
"""Maximum number of rows of a table, and of other lines of one kind, that a person gets."""


def print_json(answer: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout, escaped where the stream's encoding lacks one of its characters."""
    words = json.dumps(answer, ensure_ascii=False)
    try:
        words.encode(getattr(standard_output(), "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # JSON's own escapes, not those of Python, which are not JSON
        words = json.dumps(answer)
    write(f"{words}\n")


def print_table(title: str, columns: Mapping[str, str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table on stdout, its first `MOST_ROWS` rows. columns: `left` or `right` by heading."""
    table = Table(title=encodable(title), title_justify="left")
    for heading, side in columns.items():
        table.add_column(encodable(heading), justify="right" if side == "right" else "left")
    shown = rows[:MOST_ROWS]
    for row in shown:
        table.add_row(*map(encodable, row))
    # A pipe is given whole lines: rich would cut them to 80 characters. Names are shown as they are.
    stdout = standard_output()
    if stdout is None:
        return
    console = Console(file=stdout, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 200
    with printing_to(stdout), console.capture() as drawn:
        console.print(table)
    write(drawn.get())
    _print_left_out(len(rows) - len(shown))


def print_lines(lines: Sequence[str]) -> None:
    """Print lines on stdout, the first `MOST_ROWS` of them."""
    for line in lines[:MOST_ROWS]:
        echo(line)
    _print_left_out(len(lines[MOST_ROWS:]))


def cells(rows: "Iterable[Sequence[Cell]]") -> list[tuple[str, ...]]:
    """Return the rows of an analysis' table as people read them: numbers of four digits, nothing for None."""
    return [tuple("" if cell is None else _text(cell) for cell in row) for row in rows]


def _text(cell: str | int | float) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _print_left_out(count: int) -> None:
    if count:
        echo(f"... and {count:,} more; --json has all")


def print_warnings(warnings: "Iterable[Notice]", *, prefix: str = "") -> None:
    """Print an answer's warnings on stderr, one line each. prefix: the photo, where there are several."""
    for notice in warnings:
        about = f"{notice.field}: " if notice.field else ""
        echo(one_line(f"zfscope: warning: {prefix}{about}{notice.message}"), err=True)


def warnings_json(warnings: "Iterable[Notice]") -> list[dict[str, str]]:
    """Return an answer's warnings as JSON."""
    return [asdict(notice) for notice in warnings]


def size_json(size: tuple[int, int]) -> dict[str, int]:
    """Return a (height, width) in pixels as JSON."""
    height, width = size
    return {"width": width, "height": height}


def answer_json(answer: Any, **fields: Any) -> dict[str, Any]:
    """Return the answer about a photo as a JSON object. fields: what is not the same for all of them."""
    return {
        "model": answer.model,
        "version": answer.version,
        "photo": size_json(answer.photo_size),
        **fields,
        "warnings": warnings_json(answer.warnings),
    }


def title_of(model: str, version: int) -> str:
    """Name a model and its version."""
    return f"{model} version {version}"


class Description(ProgressColumn):
    """What a bar counts, as it is: no markup, and control characters escaped."""

    def render(self, task: Task) -> Text:
        """Return the description."""
        return Text(harmless(task.description))


class Speed(ProgressColumn):
    """Photos per second."""

    def render(self, task: Task) -> Text:
        """Give the speed of the last half minute."""
        return Text(f"{task.speed:.0f} photos/s" if task.speed else "")


def progress(*more: ProgressColumn, transient: bool = True) -> Progress:
    """Return a progress bar on stderr, for use as a context manager; it shows on a terminal only.

    transient: whether it disappears in the end.
    """
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    return Progress(
        Description(),
        BarColumn(),
        MofNCompleteColumn(),
        *more,
        TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=not console.is_terminal,
    )
