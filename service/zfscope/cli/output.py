"""Output of commands: JSON, tables, warnings and progress bars."""

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

from zfscope.cli.streams import (
    echo,
    escape_for_stdout,
    standard_output,
    translate_write_errors,
    write,
)
from zfscope.text import harmless, one_line

if TYPE_CHECKING:
    from zfscope.results import Cell, Notice


# Maximum number of table rows, or of other repeated lines, printed without --json.
MAX_ROWS = 1_000


def print_json(result: Mapping[str, Any]) -> None:
    """Print a JSON object on one line of stdout, escaping characters that stdout's encoding lacks."""
    text = json.dumps(result, ensure_ascii=False)
    try:
        text.encode(getattr(standard_output(), "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # use JSON's escapes: Python's backslash escapes are not valid JSON
        text = json.dumps(result)
    write(f"{text}\n")


def print_table(title: str, columns: Mapping[str, str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print up to `MAX_ROWS` rows as a table on stdout. columns: heading to `left` or `right`."""
    table = Table(title=escape_for_stdout(title), title_justify="left")
    for heading, side in columns.items():
        table.add_column(escape_for_stdout(heading), justify="right" if side == "right" else "left")
    shown = rows[:MAX_ROWS]
    for row in shown:
        table.add_row(*map(escape_for_stdout, row))
    # Without a terminal rich would wrap lines at 80 characters. Markup is off: names may contain brackets.
    stdout = standard_output()
    if stdout is None:
        return
    console = Console(file=stdout, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = 200
    with translate_write_errors(stdout), console.capture() as drawn:
        console.print(table)
    write(drawn.get())
    _print_omitted(len(rows) - len(shown))


def print_lines(lines: Sequence[str]) -> None:
    """Print up to `MAX_ROWS` lines on stdout."""
    for line in lines[:MAX_ROWS]:
        echo(line)
    _print_omitted(len(lines[MAX_ROWS:]))


def cells(rows: "Iterable[Sequence[Cell]]") -> list[tuple[str, ...]]:
    """Format the rows of an analysis table: floats with four significant digits, None as an empty cell."""
    return [tuple("" if cell is None else _text(cell) for cell in row) for row in rows]


def _text(cell: str | int | float) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _print_omitted(count: int) -> None:
    if count:
        echo(f"... and {count:,} more; use --json for all")


def print_warnings(warnings: "Iterable[Notice]", *, prefix: str = "") -> None:
    """Print a result's warnings on stderr, one per line. prefix: the photo's path, if there are several."""
    for notice in warnings:
        field = f"{notice.field}: " if notice.field else ""
        echo(one_line(f"zfscope: warning: {prefix}{field}{notice.message}"), err=True)


def warnings_json(warnings: "Iterable[Notice]") -> list[dict[str, str]]:
    """Convert a result's warnings to JSON."""
    return [asdict(notice) for notice in warnings]


def size_json(size: tuple[int, int]) -> dict[str, int]:
    """Convert a (height, width) in pixels to JSON."""
    height, width = size
    return {"width": width, "height": height}


def result_json(result: Any, **fields: Any) -> dict[str, Any]:
    """Convert the result for a photo to a JSON object. fields: members specific to the command."""
    return {
        "model": result.model,
        "version": result.version,
        "precision": result.precision,
        "photo": size_json(result.photo_size),
        **fields,
        "warnings": warnings_json(result.warnings),
    }


def title_of(model: str, version: int, precision: str = "") -> str:
    """Return the name and version of a model for titles, with a precision other than float32."""
    return f"{model} version {version}{f' in {precision}' if precision not in ('', 'float32') else ''}"


class Description(ProgressColumn):
    """Column with a task's description: no markup, control characters escaped."""

    def render(self, task: Task) -> Text:
        """Return the escaped description."""
        return Text(harmless(task.description))


class Speed(ProgressColumn):
    """Column with the speed in photos per second."""

    def render(self, task: Task) -> Text:
        """Return the average speed over the last 30 seconds."""
        speed = task.speed or 0
        return Text(f"{speed:.{0 if speed >= 10 else 1}f} photos/s" if speed else "")


def progress(*more: ProgressColumn, transient: bool = True) -> Progress:
    """Return a progress bar on stderr, to be used as a context manager; shown on terminals only.

    more: columns in addition to the default ones. transient: whether the bar is removed at the end.
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
