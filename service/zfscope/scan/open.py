"""Opening an index, after verifying its files and that it was made with the model's weights."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from zfscope.datasets.names import as_unicode
from zfscope.errors import DamagedIndex, InputError, NotFound
from zfscope.scan.index import Index
from zfscope.scan.manifest import (
    INDEX,
    MAPS,
    RECORDS,
    SKIPPED,
    IndexManifest,
    LayerShape,
    differences,
    model_identity,
)
from zfscope.scan.tables import PHOTOS
from zfscope.store import Manifest, Model, StoredModel
from zfscope.store.integrity import INDEXES, read_regular_file, sha256
from zfscope.validation import first_fault


def open_index(model: Model | StoredModel, name: str, *, folder: Path | None = None) -> Index:
    """Open an index of a model and verify every file.

    folder: folder of indexes; by default that of the model in its store. Raises NotFound if no index has
    that name, listing the available ones, or if it was made with other weights; DamagedIndex if a file does
    not match the manifest.
    """
    indexes = folder or indexes_folder(model)
    names = index_names(indexes)
    if name not in names:
        message = (
            f"index '{name}' of {model.manifest.title} not found in '{indexes}'; available: "
            f"{', '.join(names) or 'none'}. Build one with: zfscope index"
        )
        raise NotFound(message, field="index")
    return read_index(indexes / name, model.manifest)


def indexes_folder(model: Model | StoredModel) -> Path:
    """Return the folder of a model's indexes.

    A separate folder of indexes may contain a subfolder per model, NAME/VERSION, like the store. Raises
    InputError for a model that is not from a store.
    """
    if model.indexes is not None:
        subfolder = model.indexes / model.manifest.name / str(model.manifest.version)
        return subfolder if subfolder.is_dir() else model.indexes
    if model.folder is None:
        raise InputError(
            f"{model.manifest.title} is not from a store; give a folder for its indexes", field="out"
        )
    return model.folder / INDEXES


def only_index(model: Model | StoredModel) -> str:
    """Return the name of the only index of a model's weights; indexes of earlier epochs do not count.

    Raises NotFound if there is none, and InputError, listing them, if there are several.
    """
    folder, identity = indexes_folder(model), model_identity(model.manifest)
    existing = index_names(folder)
    names = [name for name in existing if read_manifest(folder / name).origin.model == identity]
    title = model.manifest.title
    if not names:
        others = f" of these weights (of other weights: {', '.join(existing)})" if existing else ""
        message = f"{title} has no index{others}; build one from your photos with: zfscope index"
        raise NotFound(message, field="index")
    if len(names) > 1:
        raise InputError(f"{title} has several indexes; name one of {', '.join(names)}", field="index")
    return names[0]


def index_names(folder: Path) -> list[str]:
    """Return the names of the indexes in a folder; none if the folder does not exist."""
    return sorted(path.parent.name for path in folder.glob(f"[!.]*/{INDEX}"))


def epoch_index_name(name: str, epoch: int) -> str:
    """Return the name of a checkpoint's index, given that of the final weights: `val-epoch-005`."""
    return f"{name}-epoch-{epoch:03d}"


def verify_indexes(folder: Path) -> None:
    """Check every index in a model's folder against its manifest, regardless of the weights used.

    Raises DamagedIndex for the first faulty file.
    """
    for name in index_names(folder / INDEXES):
        index = folder / INDEXES / name
        files = read_manifest(index).files
        for file in dict.fromkeys((RECORDS, MAPS, SKIPPED, *files)):
            _verified(index, file, files)


def read_index(folder: Path, model: Manifest) -> Index:
    """Read the index in a folder. Raises NotFound and DamagedIndex as `open_index` does."""
    manifest = read_manifest(folder)
    differing = differences(manifest.origin.model, model_identity(model))
    if differing:
        message = (
            f"index '{folder.name}' was not made with the current {model.title}: it differs in {differing}"
        )
        raise NotFound(f"{message}; {_remedy(folder)}", field="index")
    shapes, files = manifest.origin.layers, manifest.files
    records, maps, skipped = (_open(_verified(folder, file, files)) for file in (RECORDS, MAPS, SKIPPED))
    return Index(
        name=folder.name,
        manifest=manifest,
        records_by_layer=_layer_tables(records, shapes),
        maps_by_layer=_layer_tables(maps, shapes),
        skipped=tuple((row["path"], row["reason"]) for row in skipped.read(use_threads=False).to_pylist()),
    )


def _open(data: bytes) -> pq.ParquetFile:
    """Open the bytes of a file. Read it without threads.

    pyarrow's threads release the bytes after a call has returned; they need the interpreter for that, and
    abort a process that ends meanwhile.
    """
    return pq.ParquetFile(pa.BufferReader(data))


def _layer_tables(file: pq.ParquetFile, shapes: Sequence[LayerShape]) -> dict[str, pa.Table]:
    """Return the table of each layer, a row group of the file."""
    return {shape.name: file.read_row_group(index, use_threads=False) for index, shape in enumerate(shapes)}


def images_by_class(model: Model, index: Index) -> dict[str, int]:
    """Return the number of photos of an index by class; the name is empty for photos without a class.

    Skipped photos do not count. Empty for an index without a list of its photos, made by an earlier version.
    Raises DamagedIndex if a file does not match the manifest.
    """
    folder, files = indexes_folder(model) / index.name, index.manifest.files
    if PHOTOS not in files:
        return {}
    photos, skipped = (
        _open(_verified(folder, file, files)).read([column], use_threads=False)[column].combine_chunks()
        for file, column in ((PHOTOS, "class"), (SKIPPED, "image"))
    )
    used = np.ones(len(photos), bool)
    used[skipped.to_numpy(zero_copy_only=False)] = False
    counts = photos.filter(pa.array(used)).value_counts().to_pylist()
    return {as_unicode(os.fsdecode(each["values"])): each["counts"] for each in counts}


def read_manifest(folder: Path) -> IndexManifest:
    """Read the manifest of an index. Raises DamagedIndex if it is missing or invalid."""
    try:
        return IndexManifest.model_validate_json(_read(folder, INDEX))
    except ValidationError as error:
        raise _damaged(folder, f"'{INDEX}': {first_fault(error, IndexManifest)}") from error


def _verified(folder: Path, file: str, hashes: Mapping[str, str]) -> bytes:
    """Read a file once, check its hash, and return the bytes to parse."""
    data = _read(folder, file)
    if sha256(data) != hashes.get(file):
        raise _damaged(folder, f"'{file}' does not match the manifest")
    return data


def _read(folder: Path, file: str) -> bytes:
    try:
        return read_regular_file(folder, file)
    except ValueError as error:
        raise _damaged(folder, str(error)) from error


def _damaged(folder: Path, fault: str) -> DamagedIndex:
    return DamagedIndex(f"index '{folder.name}': {fault}; {_remedy(folder)}")


def _remedy(folder: Path) -> str:
    return f"remove '{folder}' and build it again with: zfscope index"
