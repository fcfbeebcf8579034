"""Writing a finished run; equal outcomes give identical files, byte for byte."""

import contextlib
import os
import shutil
from collections import Counter
from pathlib import Path

from zfscope.bulk.manifest import (
    PICTURE_FOLDER,
    RESULTS,
    RUN,
    SKIPPED,
    TENSORS,
    RunManifest,
    RunOrigin,
    RunWarning,
)
from zfscope.bulk.parts import PartFolder
from zfscope.bulk.sheet import write_sheet
from zfscope.bulk.tables import (
    TENSOR_COLUMNS,
    photo_cells,
    result_rows,
    result_schema,
    skipped_rows,
    write_table,
)
from zfscope.bulk.tensors import TensorSummaries, write_tensors
from zfscope.datasets import DataSet
from zfscope.scan.tables import SKIPPED_COLUMNS
from zfscope.store.integrity import sha256


def write_run(folder: Path, origin: RunOrigin, data: DataSet, parts: PartFolder) -> None:
    """Create a folder and write the run to it; the parts stay as they are."""
    folder.mkdir()
    schema = result_schema(parts.records())
    write_table(folder / RESULTS, schema, result_rows(parts.records(), data, schema))
    write_table(folder / SKIPPED, SKIPPED_COLUMNS, skipped_rows(parts.records(), data))
    tables = [RESULTS, SKIPPED]
    tensors = TensorSummaries()
    if origin.tensors:
        write_table(folder / TENSORS, TENSOR_COLUMNS, tensors.count(write_tensors(folder, parts, data)))
        tables.append(TENSORS)
    skipped = sum(bool(record.reason) for record in parts.records())
    manifest = RunManifest(
        origin=origin,
        images=len(parts.done) - skipped,
        skipped=skipped,
        warnings=_warnings(parts, data),
        tensors=tensors.result(),
        pictures=_write_pictures(folder / PICTURE_FOLDER, parts) if origin.pictures else 0,
        files={file: sha256((folder / file).read_bytes()) for file in tables},
    )
    if origin.pictures:
        write_sheet(folder, manifest, parts, data)
    (folder / RUN).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _write_pictures(folder: Path, parts: PartFolder) -> int:
    """Link the pictures of all photos into a folder, or copy them; return their number."""
    folder.mkdir()
    count = 0
    for record in parts.records():
        for stored in record.pictures:
            source, target = parts.picture(stored), folder / stored.file
            with contextlib.suppress(OSError):  # a file system without hard links
                os.link(source, target)
            if not target.exists():
                shutil.copyfile(source, target)
            count += 1
    return count


def _warnings(parts: PartFolder, data: DataSet) -> tuple[RunWarning, ...]:
    """Return the warnings of all photos, each once."""
    counts, first = Counter[tuple[str, str]](), dict[tuple[str, str], int]()
    for record in parts.records():
        for warning in dict.fromkeys(record.warnings):
            counts[warning] += 1
            first.setdefault(warning, record.photo)
    return tuple(
        RunWarning(
            code=code,
            message=message,
            images=counts[code, message],
            first=photo_cells(photo, data)["path"],
        )
        for (code, message), photo in first.items()
    )
