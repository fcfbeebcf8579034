"""The tables of a run: numbers and tables of all analyses in one file, skipped photos, and tensors."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zfscope.bulk.manifest import RESULTS, SKIPPED, TENSORS
from zfscope.bulk.parts import StoredPhoto
from zfscope.datasets import DataSet
from zfscope.datasets.names import as_unicode
from zfscope.results import Cell
from zfscope.scan.tables import SKIPPED_COLUMNS

# Columns of every row of the results; those of numbers and tables follow.
RESULT_COLUMNS = pa.schema(
    {"image": pa.int64(), "path": pa.string(), "class": pa.string(), "table": pa.string(), "row": pa.int64()}
)

TENSOR_COLUMNS = pa.schema(
    {
        "tensor": pa.string(),
        "image": pa.int64(),
        "path": pa.string(),
        "class": pa.string(),
        "file": pa.string(),
        "index": pa.int64(),
        "dtype": pa.string(),
        "shape": pa.list_(pa.int64()),
    }
)

# Columns of each table by the name of its file.
TABLES: Mapping[str, pa.Schema] = {
    RESULTS: RESULT_COLUMNS,
    SKIPPED: SKIPPED_COLUMNS,
    TENSORS: TENSOR_COLUMNS,
}

# Meaning of the columns that the tables of an index lack.
MEANINGS: Mapping[str, str] = {
    "table": "Name of a table of the analysis; empty in the row with the numbers of the photo.",
    "row": "Number of the row in its table; null in the row with the numbers.",
    "tensor": "Name of the tensor.",
    "file": "File with the tensor, a .npy array of tensors of the same shape.",
    "index": "Index of the tensor along the first axis of that array.",
    "dtype": "Type of the elements.",
    "shape": "Extents of the tensor's axes.",
}

# Rows per row group.
_GROUP = 1 << 16
_TEXT, _FLOAT, _INT = pa.string(), pa.float64(), pa.int64()
Row = Mapping[str, Any]


def write_table(path: Path, schema: pa.Schema, rows: Iterable[Row]) -> None:
    """Write rows to a Parquet file, in groups; missing cells are null."""
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=_GROUP)


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows in groups; an empty one if there are none."""
    group: list[Row] = []
    for row in rows:
        if len(group) == _GROUP:
            yield group
            group = []
        group.append(row)
    yield group


def result_schema(photos: Iterable[StoredPhoto]) -> pa.Schema:
    """Return the columns of the results: the same name is the same column, in numbers and all tables.

    A column is text if any of its cells is, else of floats if any is one, else of integers. A name that is a
    column of every row is preceded by the name of its table, or by `numbers`.
    """
    kinds: dict[str, pa.DataType | None] = {}
    for photo in photos:
        for cells in _cells(photo):
            for name, cell in cells.items():
                kinds[name] = _wider(kinds.get(name), cell)
    columns = [pa.field(name, _FLOAT if kind is None else kind) for name, kind in kinds.items()]
    return pa.schema([*RESULT_COLUMNS, *columns])


def result_rows(photos: Iterable[StoredPhoto], data: DataSet, schema: pa.Schema) -> Iterator[Row]:
    """Yield the rows of all analyses: for each photo a row with its numbers, then its tables."""
    convert = {field.name: _converter(field.type) for field in list(schema)[len(RESULT_COLUMNS) :]}
    for photo in photos:
        if photo.reason:
            continue
        about = photo_cells(photo.photo, data)
        places: list[tuple[str, int | None]] = [("", None)]
        places += [(name, row) for name, table in photo.tables.items() for row in range(len(table.rows))]
        for (table_name, number), cells in zip(places, _cells(photo), strict=True):
            filled = {name: convert[name](cell) for name, cell in cells.items() if cell is not None}
            yield {**about, "table": table_name, "row": number, **filled}


def skipped_rows(photos: Iterable[StoredPhoto], data: DataSet) -> Iterator[Row]:
    """Yield the photos without an analysis."""
    for photo in photos:
        if photo.reason:
            about = photo_cells(photo.photo, data)
            yield {"image": about["image"], "path": about["path"], "reason": photo.reason}


def photo_cells(photo: int, data: DataSet) -> Row:
    """Return the columns that identify a photo."""
    return {
        "image": photo,
        "path": as_unicode(data.names[photo]),
        "class": as_unicode(data.labels[photo]) or None,
    }


def _cells(photo: StoredPhoto) -> Iterator[Mapping[str, Cell]]:
    """Yield the cells of a photo's rows by column: those of its numbers, then those of each table's rows."""
    if photo.reason:
        return
    yield {_column("numbers", name): number for name, number in photo.numbers.items()}
    for table_name, table in photo.tables.items():
        names = [_column(table_name, name) for name in table.columns]
        for row in table.rows:
            yield dict(zip(names, row, strict=True))


def _column(table: str, name: str) -> str:
    return f"{table}.{name}" if name in RESULT_COLUMNS.names else name


def _wider(kind: pa.DataType | None, cell: Cell) -> pa.DataType | None:
    """Return the type of a column with another cell."""
    if cell is None or kind == _TEXT:
        return kind
    if isinstance(cell, str):
        return _TEXT
    return _FLOAT if isinstance(cell, float) or kind == _FLOAT else _INT


def _converter(kind: pa.DataType) -> Callable[[Cell], Cell]:
    return str if kind == _TEXT else (lambda cell: cell)
