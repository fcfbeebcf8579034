"""Markdown of tables, anchors and texts from the code."""

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]*`)")


def text(words: str) -> str:
    """Return a text from the code with everything but its code spans escaped, on one line."""
    parts = _CODE.split(" ".join(words.split()))
    return "".join(
        part if part.startswith("`") else re.sub(r"([\\*_<>$\[\]|])", r"\\\1", part) for part in parts
    )


def sentence(words: str) -> str:
    """Return a description with a capital letter, unless it starts with a name such as float32."""
    first = words.partition(" ")[0]
    return words[:1].upper() + words[1:] if first.isalpha() else words


def code(words: object) -> str:
    """Return a code span."""
    return f"`{words}`" if words != "" else ""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. Cells are Markdown; bars in them are escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines) + "\n"


def anchor(name: str) -> str:
    """Return a target for links, to precede a heading or paragraph."""
    return f'<span id="{name}"></span>\n\n'


def _cell(cell: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(cell.split()))
