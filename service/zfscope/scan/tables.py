"""The tables of an index: results of the scan, and the photos, so that later changes can be reported."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zfscope.datasets.dataset import DataSet
from zfscope.datasets.names import as_unicode, quoted
from zfscope.parallel import UnusedPhoto
from zfscope.scan.manifest import MAPS, RECORDS, SKIPPED, LayerShape
from zfscope.scan.partial import LayerResult

PHOTOS = "photos.parquet"
# Maximum number of names in a message.
_MAX_NAMED = 3

RECORD_COLUMNS = pa.schema(
    {
        "layer": pa.string(),
        "map": pa.int32(),
        "rank": pa.int32(),
        "score": pa.float32(),
        "value": pa.float32(),
        "image": pa.int64(),
        "path": pa.string(),
        "class": pa.string(),
        "y": pa.int32(),
        "x": pa.int32(),
        "blake2b": pa.string(),
    }
)

MAP_COLUMNS = pa.schema(
    {
        "layer": pa.string(),
        "map": pa.int32(),
        "alive": pa.int64(),
        "images": pa.int64(),
        "histogram": pa.list_(pa.int64()),
    }
)

SKIPPED_COLUMNS = pa.schema({"image": pa.int64(), "path": pa.string(), "reason": pa.string()})

# File names are bytes: not all are valid UTF-8.
_PHOTO_COLUMNS = pa.schema({"path": pa.binary(), "class": pa.binary(), "size": pa.int64()})

# Columns of each table by the name of its file.
TABLES: Mapping[str, pa.Schema] = {
    RECORDS: RECORD_COLUMNS,
    MAPS: MAP_COLUMNS,
    SKIPPED: SKIPPED_COLUMNS,
    PHOTOS: _PHOTO_COLUMNS,
}

# Meaning of the columns; a name means the same in every table.
MEANINGS: Mapping[str, str] = {
    "layer": "Name of the layer.",
    "map": "Number of the feature map, or of the unit of a fully connected layer.",
    "rank": "Position of the photo among the strongest of the map; 0 is the strongest.",
    "score": "Ranking key: the value, or the sum of the map.",
    "value": "Largest activation of the map, at unit (y, x).",
    "image": "Number of the photo.",
    "path": "Path relative to the data set's root.",
    "class": "Class of the photo; null or empty if it has none.",
    "y": "Row of the strongest unit.",
    "x": "Column of the strongest unit.",
    "blake2b": "128-bit BLAKE2b hash of the photo's file in hexadecimal, to detect changed photos.",
    "alive": "Number of photos in which the map has an activation above 0.",
    "images": "Number of photos used.",
    "histogram": "Number of photos by largest activation; the edges of the bins are in index.json.",
    "reason": "Why the photo was skipped.",
    "size": "Size of the photo's file in bytes.",
}


def record_table(shape: LayerShape, part: LayerResult, data: DataSet) -> Any:  # pyarrow is untyped
    """Return the records of a layer as an Arrow table: map by map, strongest first."""
    maps, kept = part.records.shape
    flat = part.records.ravel()
    rows, columns = np.divmod(flat["place"], shape.columns)
    photos = flat["photo"].tolist()
    return pa.table(
        {
            "layer": pa.repeat(shape.name, len(flat)),
            "map": np.repeat(np.arange(maps), kept),
            "rank": np.tile(np.arange(kept), maps),
            "score": flat["score"],
            "value": flat["value"],
            "image": flat["photo"],
            "path": [as_unicode(data.names[photo]) for photo in photos],
            "class": [as_unicode(data.labels[photo]) or None for photo in photos],
            "y": rows,
            "x": columns,
            "blake2b": [digest.hex() for digest in flat["digest"].tolist()],
        },
        schema=RECORD_COLUMNS,
    )


def map_table(shape: LayerShape, part: LayerResult, images: int) -> Any:
    """Return the statistics of each map of a layer as an Arrow table."""
    return pa.table(
        {
            "layer": pa.repeat(shape.name, shape.maps),
            "map": np.arange(shape.maps),
            "alive": part.histogram[:, 1:].sum(1),
            "images": pa.repeat(images, shape.maps),
            "histogram": list(part.histogram),
        },
        schema=MAP_COLUMNS,
    )


def skipped_table(skipped: Sequence[UnusedPhoto], data: DataSet) -> Any:
    """Return the skipped photos as an Arrow table, sorted by number."""
    return pa.table(
        {
            "image": [photo for photo, _ in skipped],
            "path": [as_unicode(data.names[photo]) for photo, _ in skipped],
            "reason": [reason for _, reason in skipped],
        },
        schema=SKIPPED_COLUMNS,
    )


def write_photos(path: Path, data: DataSet) -> None:
    """Write names, classes and sizes of a data set's photos to a Parquet file, in order."""
    names, labels = (
        [text.encode(errors="surrogateescape") for text in texts] for texts in (data.names, data.labels)
    )
    columns = {"path": names, "class": labels, "size": list(data.sizes)}
    pq.write_table(pa.table(columns, schema=_PHOTO_COLUMNS), path, compression="zstd")


def photo_changes(path: Path, data: DataSet) -> str:
    """Return a summary of the photos that differ from those in a file: numbers and first names.

    Empty if nothing differs or the file cannot be read.
    """
    try:
        rows = pq.read_table(path, schema=_PHOTO_COLUMNS).to_pylist()
    except (OSError, pa.ArrowException):  # indexes of earlier versions lack the file
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
    return ", ".join(map(quoted, names[:_MAX_NAMED])) + (", ..." if len(names) > _MAX_NAMED else "")
