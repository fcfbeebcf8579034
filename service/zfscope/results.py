"""What an analysis returns, as plain values that notebooks show: the same in every client."""

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

# Types of the tensors of an analysis, and of every tensor on the wire.
DTYPES = ("uint8", "int64", "float16", "float32")
# Maximum number of axes of such a tensor; each has an extent of 1 or more.
MAX_AXES = 8

MAX_NOTICES = 20
MAX_NOTICE_CHARS = 1000
# Fields named by one notice that is about several; the rest are counted.
_MAX_FIELDS = 3
# Rows of a table that a notebook shows; the rest are counted.
_MAX_ROWS = 100


@dataclass(frozen=True)
class Notice:
    """A warning in an answer: something was assumed or left out, and the request was answered.

    code: what kind it is, lower case, digits and hyphens. message: what was assumed and what to do if that is
    wrong, in one sentence. field: the path of the request's field, or of an index's photo; empty where it is
    about no single one.
    """

    code: str
    message: str
    field: str = ""


def merge_notices(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Return notices without duplicates, at most MAX_NOTICES of them, in order.

    Those that say the same of several fields become one, which names the first fields and counts the rest.
    Texts are cut to MAX_NOTICE_CHARS.
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
    """A picture as PNG, and in words what its levels mean."""

    name: str
    png: bytes
    scale: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the PNG to a file, whole or not at all. Raises CannotWrite."""
        write_file(Path(path), self.png)

    def image(self) -> "Image":
        """Return the picture as an image of Pillow."""
        from PIL.Image import open as open_image

        return open_image(io.BytesIO(self.png))

    def _repr_png_(self) -> bytes:
        return self.png


@dataclass(frozen=True)
class Table:
    """Rows of named columns; a cell of None has no value."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def records(self) -> list[dict[str, Any]]:
        """Return each row by column names."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def _repr_html_(self) -> str:
        return html_table(self.columns, self.rows)


@dataclass(frozen=True, eq=False)
class Analysis:
    """What an analyzer found, by names that its documentation explains.

    tensors: of one of DTYPES, at most MAX_AXES axes and none of them empty, all of it finite. pictures: no
    two of one name. numbers: finite; so are those in tables. warnings: at most MAX_NOTICES, each of at most
    MAX_NOTICE_CHARS characters; what was noticed about the photos is added to them.
    """

    tensors: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()

    def picture(self, name: str) -> Picture | None:
        """Return the picture of that name, None without one."""
        return next((picture for picture in self.pictures if picture.name == name), None)

    def _repr_html_(self) -> str:
        tables = [table._repr_html_() for table in self.tables.values()]
        return "".join([*tables, *(html_picture(picture.name, picture.png) for picture in self.pictures)])


class ShowsPicture:
    """An answer with a picture, which notebooks show in its place."""

    def _repr_png_(self) -> bytes | None:
        picture = getattr(self, "picture", None) or getattr(self, "sheet", None)
        return picture.png if picture else None


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as HTML."""
    head = _row("th", columns)
    body = "".join(_row("td", row) for row in rows[:_MAX_ROWS])
    left = len(rows) - _MAX_ROWS
    note = f"<p>... and {left:,} more rows</p>" if left > 0 else ""
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{note}"


def html_picture(name: str, png: bytes) -> str:
    """Return a picture as HTML."""
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{escape(name)}">'


def _row(tag: str, cells: Sequence[Any]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_text(cell)}</{tag}>' for cell in cells)}</tr>"


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    return escape(f"{cell:.4g}" if isinstance(cell, float) else str(cell))
