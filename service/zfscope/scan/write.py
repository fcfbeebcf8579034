"""Writing an index; equal results give identical files, byte for byte."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zfscope.datasets import DataSet
from zfscope.scan.manifest import INDEX, MAPS, RECORDS, SKIPPED, IndexManifest, Origin
from zfscope.scan.partial import EDGES, PartialResult
from zfscope.scan.tables import (
    MAP_COLUMNS,
    PHOTOS,
    RECORD_COLUMNS,
    SKIPPED_COLUMNS,
    map_table,
    record_table,
    skipped_table,
    write_photos,
)
from zfscope.store.integrity import sha256


def write_index(folder: Path, origin: Origin, data: DataSet, partial: PartialResult) -> None:
    """Create a folder and write the index of a finished scan to it."""
    folder.mkdir()
    parts = [(shape, partial.layers[shape.name]) for shape in origin.layers]
    records = (record_table(shape, part, data) for shape, part in parts)
    maps = (map_table(shape, part, partial.photos) for shape, part in parts)
    _write(folder / RECORDS, RECORD_COLUMNS, records)
    _write(folder / MAPS, MAP_COLUMNS, maps)
    _write(folder / SKIPPED, SKIPPED_COLUMNS, [skipped_table(partial.skipped, data)])
    write_photos(folder / PHOTOS, data)
    manifest = IndexManifest(
        origin=origin,
        images=partial.photos,
        skipped=len(partial.skipped),
        histogram_edges=tuple(EDGES.tolist()),
        files={file: sha256((folder / file).read_bytes()) for file in (RECORDS, MAPS, SKIPPED, PHOTOS)},
    )
    (folder / INDEX).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _write(path: Path, columns: pa.Schema, tables: Iterable[Any]) -> None:
    """Write the tables of all layers to a file, one row group per layer."""
    with pq.ParquetWriter(path, columns, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, len(table)))
