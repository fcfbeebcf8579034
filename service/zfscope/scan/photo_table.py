"""The photos of an index by name, class and size, so that what changed since can be said."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from zfscope.datasets import DataSet
from zfscope.datasets.names import quoted

PHOTOS = "photos.parquet"
_NAMED = 3

# Names are bytes, as a file system has them: not all are UTF-8.
_COLUMNS = pa.schema({"path": pa.binary(), "class": pa.binary(), "size": pa.int64()})


def write_photos(path: Path, data: DataSet) -> None:
    """Write the photos of a data set in their order."""
    names, labels = (
        [text.encode(errors="surrogateescape") for text in texts] for texts in (data.names, data.labels)
    )
    columns = {"path": names, "class": labels, "size": list(data.sizes)}
    pq.write_table(pa.table(columns, schema=_COLUMNS), path, compression="zstd")


def photo_changes(path: Path, data: DataSet) -> str:
    """Return how many photos differ from those in a file, with the first names; empty without that file."""
    try:
        rows = pq.read_table(path, schema=_COLUMNS).to_pylist()
    except (OSError, pa.ArrowException):  # indexes that earlier versions made have none
        return ""
    before = {_text(row["path"]): (_text(row["class"]), row["size"]) for row in rows}
    now = dict(zip(data.names, zip(data.labels, data.sizes, strict=True), strict=True))
    kinds = {
        "added": [name for name in now if name not in before],
        "removed": [name for name in before if name not in now],
        "changed": [name for name in now if before.get(name, now[name]) != now[name]],
    }
    return ", ".join(f"{len(names):,} {kind} ({_first(names)})" for kind, names in kinds.items() if names)


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")
