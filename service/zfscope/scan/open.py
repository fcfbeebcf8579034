"""Opening an index: whole, and of these very weights, or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from zfscope.errors import DamagedIndex, InputError, NotFound
from zfscope.scan.index import Index
from zfscope.scan.manifest import INDEX, MAPS, RECORDS, SKIPPED, IndexManifest, differences, model_identity
from zfscope.store import Manifest, Model
from zfscope.store.integrity import INDEXES, read_regular_file, sha256
from zfscope.validation import first_fault


def open_index(model: Model, name: str, *, folder: Path | None = None) -> Index:
    """Open an index of a model, every file verified.

    folder: the one that holds indexes, by default that of the model in its store. Raises NotFound where
    there is no index of that name, with those there are, and for one that was made with other weights;
    DamagedIndex where a file is not what the manifest says.
    """
    indexes = folder or indexes_folder(model)
    there = index_names(indexes)
    if name not in there:
        found = f"there is {', '.join(there)}" if there else "there is none"
        message = (
            f"no index '{name}' of {model.manifest.title} in '{indexes}'; {found}. Make one: zfscope index"
        )
        raise NotFound(message, field="index")
    return read_index(indexes / name, model.manifest)


def indexes_folder(model: Model) -> Path:
    """Return the folder of a model's indexes. Raises InputError for a model that comes from no store.

    A folder of indexes besides the store may have one for each model, NAME/VERSION, as the store has.
    """
    if model.indexes is not None:
        own = model.indexes / model.name / str(model.manifest.version)
        return own if own.is_dir() else model.indexes
    if model.folder is None:
        raise InputError(
            f"{model.manifest.title} comes from no store; name a folder for indexes", field="out"
        )
    return model.folder / INDEXES


def index_names(folder: Path) -> list[str]:
    """Name the indexes in a folder, which need not be there."""
    return sorted(path.parent.name for path in folder.glob(f"[!.]*/{INDEX}"))


def epoch_index_name(name: str, epoch: int) -> str:
    """Name the index of a model as it was after an epoch, by that of its final weights: `val-epoch-005`."""
    return f"{name}-epoch-{epoch:03d}"


def verify_indexes(folder: Path) -> None:
    """Check every index in a model's folder against its manifest, whichever weights it was made with.

    Raises DamagedIndex for the first file that is wrong.
    """
    for name in index_names(folder / INDEXES):
        index = folder / INDEXES / name
        files = read_manifest(index).files
        for file in dict.fromkeys((RECORDS, MAPS, SKIPPED, *files)):
            _verified(index, file, files)


def read_index(folder: Path, model: Manifest) -> Index:
    """Read the index in a folder. Raises NotFound and DamagedIndex as `open_index` does."""
    manifest = read_manifest(folder)
    differs = differences(manifest.origin.model, model_identity(model))
    if differs:
        message = f"index '{folder.name}' was made with another {differs} than that of {model.title} now"
        raise NotFound(f"{message}; remove '{folder}' and make it again: zfscope index", field="index")
    shapes, files = manifest.origin.layers, manifest.files
    records, maps = (pq.ParquetFile(_verified(folder, file, files)) for file in (RECORDS, MAPS))
    skipped = pq.read_table(_verified(folder, SKIPPED, files))
    return Index(
        name=folder.name,
        manifest=manifest,
        records_by_layer={shape.name: records.read_row_group(place) for place, shape in enumerate(shapes)},
        maps_by_layer={shape.name: maps.read_row_group(place) for place, shape in enumerate(shapes)},
        skipped=tuple((row["path"], row["reason"]) for row in skipped.to_pylist()),
    )


def read_manifest(folder: Path) -> IndexManifest:
    """Read the manifest of an index. Raises DamagedIndex where it is none."""
    try:
        return IndexManifest.model_validate_json(_read(folder, INDEX))
    except ValidationError as error:
        raise _damaged(folder, f"'{INDEX}': {first_fault(error, IndexManifest)}") from error


def _verified(folder: Path, file: str, hashes: Mapping[str, str]) -> Any:
    """Read a file once, and give these very bytes to be parsed."""
    data = _read(folder, file)
    if sha256(data) != hashes.get(file):
        raise _damaged(folder, f"'{file}' is not the file of its manifest")
    return pa.BufferReader(data)


def _read(folder: Path, file: str) -> bytes:
    try:
        return read_regular_file(folder, file)
    except ValueError as error:
        raise _damaged(folder, str(error)) from error


def _damaged(folder: Path, what: str) -> DamagedIndex:
    return DamagedIndex(f"index '{folder.name}': {what}; remove '{folder}' and make it again: zfscope index")
