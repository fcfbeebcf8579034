"""Tensors of a run in `.npy` files: arrays of the tensors of consecutive photos that have the same shape."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.bulk.manifest import TENSOR_FOLDER, TensorSummary
from zfscope.bulk.parts import PartFolder, unique_names
from zfscope.bulk.tables import Row, photo_cells
from zfscope.datasets import DataSet
from zfscope.text import safe_name

# Size in bytes from which a new file is started.
SHARD_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class _Shard:
    """Tensors of consecutive photos with the same shape. photos: their numbers."""

    photos: tuple[int, ...]
    tensors: tuple[NDArray[Any], ...]


def write_tensors(folder: Path, parts: PartFolder, data: DataSet) -> Iterator[Row]:
    """Write the tensors of all photos below a folder; yield a row of the table of tensors for each.

    Tensors are read one at a time, so that a file and not the results must fit into memory.
    """
    names = list(dict.fromkeys(chain.from_iterable(record.tensors for record in parts.records())))
    for name, safe in zip(names, unique_names([safe_name(name) for name in names]), strict=True):
        (folder / TENSOR_FOLDER / safe).mkdir(parents=True)
        for number, shard in enumerate(_shards(parts, name)):
            file = f"{TENSOR_FOLDER}/{safe}/{number:05}.npy"
            np.save(folder / file, np.stack(shard.tensors))
            for index, (photo, tensor) in enumerate(zip(shard.photos, shard.tensors, strict=True)):
                place = {"tensor": name, "file": file, "index": index}
                kind = {"dtype": tensor.dtype.name, "shape": list(tensor.shape)}
                yield {**photo_cells(photo, data), **place, **kind}


class TensorSummaries:
    """Summaries of tensors, filled while the rows of the table of tensors are written."""

    def __init__(self) -> None:
        self._counts: dict[str, _Counts] = {}

    def count(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Count the tensors of rows, and yield the rows unchanged."""
        for row in rows:
            counts = self._counts.setdefault(row["tensor"], _Counts())
            counts.images += 1
            counts.dtypes.add(row["dtype"])
            counts.shapes.add(tuple(row["shape"]))
            counts.files.add(row["file"])
            yield row

    def result(self) -> dict[str, TensorSummary]:
        """Return the summary of the tensors of each name."""
        return {name: counts.summary() for name, counts in self._counts.items()}


@dataclass
class _Counts:
    """What the tensors of one name have."""

    images: int = 0
    dtypes: set[str] = field(default_factory=set)
    shapes: set[tuple[int, ...]] = field(default_factory=set)
    files: set[str] = field(default_factory=set)

    def summary(self) -> TensorSummary:
        return TensorSummary(
            dtypes=tuple(sorted(self.dtypes)),
            shape=_common_shape(self.shapes),
            images=self.images,
            files=len(self.files),
        )


def _common_shape(shapes: Collection[tuple[int, ...]]) -> tuple[int | None, ...] | None:
    """Return the extents that all shapes share, None for others; None if the number of axes differs."""
    if len(set(map(len, shapes))) > 1:
        return None
    return tuple(axis[0] if len(set(axis)) == 1 else None for axis in zip(*shapes, strict=True))


def _shards(parts: PartFolder, name: str) -> Iterator[_Shard]:
    """Yield the tensors of a name in files of up to SHARD_BYTES, or of one tensor."""
    photos, tensors = list[int](), list[NDArray[Any]]()
    for record in parts.records():
        if name not in record.tensors:
            continue
        tensor = parts.tensor(record, name)
        if tensors and not _fits(tensors, tensor):
            yield _Shard(tuple(photos), tuple(tensors))
            photos, tensors = [], []
        photos.append(record.photo)
        tensors.append(tensor)
    yield _Shard(tuple(photos), tuple(tensors))


def _fits(tensors: list[NDArray[Any]], tensor: NDArray[Any]) -> bool:
    """Return whether a tensor can be added to a file."""
    first = tensors[0]
    same = (first.shape, first.dtype) == (tensor.shape, tensor.dtype)
    return same and (len(tensors) + 1) * first.nbytes <= SHARD_BYTES
