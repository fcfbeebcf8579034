"""What an analysis gives, as plain values: the same in the service, in its client and in this process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Cell = str | int | float | None

DTYPES = ("uint8", "int64", "float16", "float32")
"""Types of the tensors of an analysis, and of every tensor on the wire."""
MAX_AXES = 8
"""Of such a tensor; each has an extent of 1 or more."""


@dataclass(frozen=True)
class Picture:
    """A picture as PNG, and in words what its levels mean."""

    name: str
    png: bytes
    scale: str


@dataclass(frozen=True)
class Table:
    """Rows of named columns; a cell of None has no value."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def records(self) -> list[dict[str, Any]]:
        """Give each row by column names."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, eq=False)
class Analysis:
    """What an analyzer found, by names that its documentation explains.

    tensors: of one of DTYPES, at most MAX_AXES axes and none of them empty, all of it finite. pictures: no
    two of one name. numbers: finite; so are those in tables.
    """

    tensors: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)

    def picture(self, name: str) -> Picture | None:
        """Give the picture of that name, None where there is none."""
        return next((picture for picture in self.pictures if picture.name == name), None)
