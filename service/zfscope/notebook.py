"""HTML of results for notebooks: everything escaped, and no other file needed."""

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

# Rows of a table that a notebook shows; the rest are counted.
_MAX_ROWS = 100


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
