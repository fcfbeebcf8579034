"""Reading of Parquet files that list photos."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zfscope.datasets.names import quoted
from zfscope.errors import InputError
from zfscope.text import one_line

PARQUET_FORMAT = (
    "its column 'path' has paths relative to the file, and the optional column 'class' their classes"
)
_PATH, _CLASS = "path", "class"
_MAGIC = b"PAR1"


def is_parquet(path: Path) -> bool:
    """Return whether a file starts like a Parquet file. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_parquet_rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield path and class of each row; the class is empty if it is null or there is no such column.

    Raises InputError if the file is damaged, lacks the column of paths, or has values of other types.
    """
    import pyarrow as pa  # imported late: clients of a service work without it
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = _columns(path, file.schema_arrow.names)
            number = 0
            # Without threads; see `zfscope.scan.open`.
            for batch in file.iter_batches(columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield _row(path, number, row)
    except (OSError, pa.ArrowException) as error:
        reason = one_line(str(error))
        raise InputError(f"{quoted(str(path))} is a damaged Parquet file: {reason}", field="data") from error


def _columns(path: Path, names: list[str]) -> list[str]:
    if _PATH not in names:
        message = f"{quoted(str(path))} has the columns {', '.join(map(quoted, names)) or 'none'}"
        raise InputError(f"{message}; {PARQUET_FORMAT}", field="data")
    return [name for name in (_PATH, _CLASS) if name in names]


def _row(path: Path, number: int, row: dict[str, Any]) -> tuple[str, str]:
    name, label = row[_PATH], row.get(_CLASS)
    for column, value, allowed in ((_PATH, name, str | bytes), (_CLASS, label, str | bytes | int | None)):
        if not isinstance(value, allowed) or (value in ("", b"") and column == _PATH):
            shown = "null" if value is None else repr(value)[:80]
            message = f"row {number:,} of {quoted(str(path))} has {shown} in its column '{column}'"
            raise InputError(f"{message}; {PARQUET_FORMAT}", field="data")
    return os.path.normpath(os.fsdecode(name)), "" if label is None else _text(label)


def _text(label: str | bytes | int) -> str:
    return str(label) if isinstance(label, int) else os.fsdecode(label)
