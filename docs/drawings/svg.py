"""SVG drawings of grids of numbers, readable on light and dark pages.

A picture inside a page cannot see the page's colours. Each drawing therefore has its own background, light or
dark as the reader's system prefers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

_STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de }
  .ink { fill: #1f2328 } .soft { fill: #59636e }
  .line { fill: none; stroke: #818b98 }
  .positive { fill: #f08c3a } .negative { fill: #5a9cf0 } .changed { fill: #f08c3a }
  .mark { fill: none; stroke: #b5179e; stroke-width: 2.5 }
  .a { stroke: #b5179e } .b { stroke: #16833f } .c { stroke: #7a4ddb } .d { stroke: #9a6200 }
  .window { fill: none; stroke-width: 2 }
  text { font: 13px system-ui, sans-serif; text-anchor: middle; dominant-baseline: central }
  text.start { text-anchor: start } text.small { font-size: 12px } text.bold { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #151b23; stroke: #3d444d }
    .ink { fill: #f0f6fc } .soft { fill: #9198a1 }
    .line { stroke: #6b7480 }
    .positive { fill: #c96a1b } .negative { fill: #2f6fc4 } .changed { fill: #c96a1b }
    .mark { stroke: #ff7be5 }
    .a { stroke: #ff7be5 } .b { stroke: #56d364 } .c { stroke: #b79bff } .d { stroke: #e3b341 }
  }
""".strip("\n")

CELL = 28
_MARGIN, _GAP, _TITLE, _ARROW = 16, 18, 24, 64

# Row and column of a cell, from 0.
Position = tuple[int, int]


@dataclass(frozen=True)
class Frame:
    """An outline around cells. cells: first row and column, numbers of rows and columns. colour: a to d."""

    cells: tuple[int, int, int, int]
    colour: str = "a"
    inset: float = 0


@dataclass(frozen=True)
class Grid:
    """Numbers in cells, tinted by sign and magnitude.

    name: identifies the grid in the file. marks: cells with a circle.
    """

    name: str
    title: str
    values: Sequence[Sequence[int]]
    marks: Sequence[Position] = ()
    frames: Sequence[Frame] = ()
    tinted: bool = True

    @property
    def width(self) -> float:
        """Width in pixels."""
        return max(CELL * len(self.values[0]), 7 * len(self.title))

    @property
    def height(self) -> float:
        """Height in pixels, with the title."""
        return _TITLE + CELL * len(self.values)

    def draw(self, x: float, y: float) -> list[str]:
        """Return the elements, with the top left corner at x, y."""
        left = x + (self.width - CELL * len(self.values[0])) / 2
        top = y + _TITLE
        parts = [text(x + self.width / 2, y + _TITLE / 2, self.title, "soft small")]
        parts.append(f'<g id="{escape(self.name)}">')
        peak = max(abs(value) for row in self.values for value in row) or 1
        for row, values in enumerate(self.values):
            for column, value in enumerate(values):
                parts += self._cell(left + CELL * column, top + CELL * row, value, peak)
        parts.append("</g>")
        parts += [_frame(frame, left, top) for frame in self.frames]
        parts += [
            _circle(left + CELL * (column + 0.5), top + CELL * (row + 0.5)) for row, column in self.marks
        ]
        return parts

    def _cell(self, x: float, y: float, value: int, peak: int) -> list[str]:
        parts = []
        if value and self.tinted:
            sign = "positive" if value > 0 else "negative"
            opacity = 0.15 + 0.6 * abs(value) / peak
            parts.append(f'<rect class="{sign}" fill-opacity="{opacity:.2f}" {_box(x, y, CELL, CELL)}/>')
        parts.append(f'<rect class="line" {_box(x, y, CELL, CELL)}/>')
        parts.append(text(x + CELL / 2, y + CELL / 2, number(value), "ink" if value else "soft"))
        return parts


@dataclass(frozen=True)
class Arrow:
    """An arrow to the right with words above it."""

    words: str

    @property
    def width(self) -> float:
        """Width in pixels."""
        return max(_ARROW, 7 * len(self.words))

    @property
    def height(self) -> float:
        """Height in pixels."""
        return CELL

    def draw(self, x: float, y: float) -> list[str]:
        """Return the elements, with the top left corner at x, y."""
        middle = y + self.height / 2
        parts = [text(x + self.width / 2, middle - 12, self.words, "soft small")]
        start, end = x + 4, x + self.width - 4
        parts.append(f'<path class="line" d="M{_n(start)} {_n(middle)}H{_n(end)}m-6 -5l6 5l-6 5"/>')
        return parts


@dataclass(frozen=True)
class Column:
    """Items below each other, centred."""

    items: Sequence["Item"]

    @property
    def width(self) -> float:
        """Width in pixels."""
        return max(item.width for item in self.items)

    @property
    def height(self) -> float:
        """Height in pixels."""
        return sum(item.height for item in self.items) + _GAP * (len(self.items) - 1)

    def draw(self, x: float, y: float) -> list[str]:
        """Return the elements, with the top left corner at x, y."""
        parts: list[str] = []
        for item in self.items:
            parts += item.draw(x + (self.width - item.width) / 2, y)
            y += item.height + _GAP
        return parts


@dataclass(frozen=True)
class Space:
    """A gap between items."""

    width: float = 12
    height: float = 0

    def draw(self, x: float, y: float) -> list[str]:
        """Return nothing."""
        return []


Item = Grid | Arrow | Column | Space


@dataclass(frozen=True)
class Drawing:
    """Items in a row, centred, above notes. description: the text for readers who do not see it."""

    title: str
    description: str
    items: Sequence[Item]
    notes: Sequence[str] = field(default=())

    def svg(self) -> str:
        """Return the file."""
        width = sum(item.width for item in self.items) + _GAP * (len(self.items) - 1)
        width = max(width, *(6.6 * len(note) for note in self.notes), 0) if self.notes else width
        height = max(item.height for item in self.items)
        body: list[str] = []
        x: float = _MARGIN
        for item in self.items:
            body += item.draw(x, _MARGIN + (height - item.height) / 2)
            x += item.width + _GAP
        for index, note in enumerate(self.notes):
            body.append(text(_MARGIN, 2 * _MARGIN + height + 20 * index, note, "ink small start"))
        bottom = 20 * len(self.notes) + (4 if self.notes else 0)
        return document(
            self.title, self.description, width + 2 * _MARGIN, height + 2 * _MARGIN + bottom, body
        )


def document(title: str, description: str, width: float, height: float, body: Sequence[str]) -> str:
    """Return an SVG file with a background."""
    size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(description)}</desc>",
            f"<style>\n{_STYLE}\n</style>",
            f'<rect class="card" {_box(0.5, 0.5, width - 1, height - 1)} rx="6"/>',
            *body,
            "</svg>\n",
        ]
    )


def text(x: float, y: float, words: str, classes: str) -> str:
    """Return words around a point, or from it with the class `start`."""
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{classes}">{escape(words)}</text>'


def rectangle(x: float, y: float, width: float, height: float, attributes: Mapping[str, str]) -> str:
    """Return a rectangle with attributes."""
    named = " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())
    return f"<rect {named} {_box(x, y, width, height)}/>"


def number(value: int) -> str:
    """Return a whole number as it is printed, with a minus sign as wide as the digits."""
    return str(value).replace("-", "\N{MINUS SIGN}")


def _frame(frame: Frame, left: float, top: float) -> str:
    row, column, rows, columns = frame.cells
    inset = frame.inset
    box = _box(
        left + CELL * column + inset,
        top + CELL * row + inset,
        CELL * columns - 2 * inset,
        CELL * rows - 2 * inset,
    )
    return f'<rect class="window {frame.colour}" {box}/>'


def _circle(x: float, y: float) -> str:
    return f'<circle class="mark" cx="{_n(x)}" cy="{_n(y)}" r="{_n(CELL / 2 - 2)}"/>'


def _box(x: float, y: float, width: float, height: float) -> str:
    return f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'


def _n(value: float) -> str:
    """Return a coordinate without superfluous digits."""
    return f"{value:.1f}".removesuffix(".0")
