"""Results of an analysis: plain values, the same in every client, with rich display in notebooks."""

import base64
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from zfscope.files import write_file

if TYPE_CHECKING:
    from PIL.Image import Image

Cell = str | int | float | None

# Allowed types of tensors in an analysis and on the wire.
DTYPES = ("uint8", "int64", "float16", "float32")
# Maximum number of axes of a tensor; each has an extent of at least 1.
MAX_AXES = 8

MAX_NOTICES = 20
MAX_NOTICE_CHARS = 1000
# Maximum number of fields listed in one notice; the rest are counted.
_MAX_FIELDS = 3
# Maximum number of table rows shown in a notebook; the rest are counted.
_MAX_ROWS = 100


@dataclass(frozen=True)
class Notice:
    """A warning in a result: an assumption was made or data was left out.

    code: identifier of the kind of warning: lower case, digits and hyphens. message: one sentence with the
    assumption and how to correct it. field: path of the request field or of the photo in an index; empty if
    the warning is not about a single one.
    """

    code: str
    message: str
    field: str = ""


def merge_notices(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Return at most MAX_NOTICES notices without duplicates, in order.

    Notices with the same code and message are merged into one that lists the first fields and counts the
    rest. Texts are truncated to MAX_NOTICE_CHARS characters.
    """
    fields: dict[tuple[str, str], dict[str, None]] = {}
    for notice in notices:
        fields.setdefault((notice.code, notice.message), {})[notice.field] = None
    merged = [_merged(code, message, list(where)) for (code, message), where in fields.items()]
    if len(merged) <= MAX_NOTICES:
        return tuple(merged)
    kept, left = merged[: MAX_NOTICES - 1], len(merged) - MAX_NOTICES + 1
    return (*kept, Notice("more-warnings", f"{left:,} more warnings of other kinds are left out"))


def _merged(code: str, message: str, fields: list[str]) -> Notice:
    first, others = fields[0], fields[1:]
    if others:
        rest = len(others) - _MAX_FIELDS
        named = ", ".join(f"{field:.100}" for field in others[:_MAX_FIELDS])
        message = f"{message} (the same of {named}{f' and {rest:,} more' if rest > 0 else ''})"
    return Notice(code, message[:MAX_NOTICE_CHARS], first[:MAX_NOTICE_CHARS])


@dataclass(frozen=True)
class Picture:
    """A PNG picture. scale: description of what its grey levels or colours mean."""

    name: str
    png: bytes
    scale: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the PNG to a file atomically. Raises CannotWrite."""
        write_file(Path(path), self.png)

    def image(self) -> "Image":
        """Return the picture as a Pillow image."""
        from PIL.Image import open as open_image

        return open_image(io.BytesIO(self.png))

    def _repr_png_(self) -> bytes:
        return self.png


@dataclass(frozen=True)
class Table:
    """A table with named columns; an empty cell is None."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries keyed by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def _repr_html_(self) -> str:
        return html_table(self.columns, self.rows)


@dataclass(frozen=True, eq=False)
class Analysis:
    """Result of an analyzer; the names of its parts are documented by the analyzer.

    tensors: arrays of a type in DTYPES, with at most MAX_AXES non-empty axes and finite values. pictures:
    with unique names. numbers: finite, also in tables. warnings: at most MAX_NOTICES, each of at most
    MAX_NOTICE_CHARS characters; warnings about the photos and the model are added to them. precision: of the
    passes, projections and recomputed layers that the result comes from, `float32`, `tf32` or `bfloat16`;
    empty if an older service does not state it.
    """

    tensors: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()
    precision: str = "float32"

    def picture(self, name: str) -> Picture | None:
        """Return the picture with the given name, or None."""
        return next((picture for picture in self.pictures if picture.name == name), None)

    def _repr_html_(self) -> str:
        tables = [table._repr_html_() for table in self.tables.values()]
        return "".join([*tables, *(html_picture(picture.name, picture.png) for picture in self.pictures)])


class ShowsPicture:
    """Mixin for results that notebooks display as their picture."""

    def _repr_png_(self) -> bytes | None:
        picture = getattr(self, "picture", None) or getattr(self, "sheet", None)
        return picture.png if picture else None


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Render a table as HTML."""
    head = _row("th", columns)
    body = "".join(_row("td", row) for row in rows[:_MAX_ROWS])
    left = len(rows) - _MAX_ROWS
    note = f"<p>... and {left:,} more rows</p>" if left > 0 else ""
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{note}"


def html_picture(name: str, png: bytes) -> str:
    """Render a picture as an HTML img element."""
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{escape(name)}">'


def _row(tag: str, cells: Sequence[Any]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_text(cell)}</{tag}>' for cell in cells)}</tr>"


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    return escape(f"{cell:.4g}" if isinstance(cell, float) else str(cell))
