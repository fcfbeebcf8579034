"""A data set to scan: photos with numbers, wherever they are."""

import hashlib
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import Literal, NamedTuple

from zfscope.errors import InputError
from zfscope.images.decode import SUFFIXES

Kind = Literal["folder", "list", "tar"]

BATCH = 16
"""Photos of one forward pass. Fixed, and a photo's batch follows from its number: the last bits of an
activation may depend on what is computed beside it. More photos a pass are no faster."""

NOT_THERE = -1


@dataclass(frozen=True)
class Photo:
    """Where to find one photo: all that whoever reads it has to know.

    number: its place in the data set's sorted order. name: its path in the data set. file: the one that
    holds it, from byte `offset` on; `size` bytes of it, or NOT_THERE.
    """

    number: int
    name: str
    file: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Batch:
    """Photos of consecutive numbers: BATCH of them, fewer in the last batch."""

    number: int
    photos: tuple[Photo, ...]


class Found(NamedTuple):
    """What listing tells of a photo: its class, its size in bytes, and its first byte in a tar."""

    label: str
    size: int
    offset: int = 0


@dataclass(frozen=True, eq=False)
class DataSet:
    """The photos of a data set, sorted by name: `names`, `labels`, `sizes` and `offsets` run side by side.

    root: the folder that names are relative to, or the tar that they are in. labels: the class of each
    photo, empty where there is none. sizes: in bytes, NOT_THERE where a list names what is not there.
    These lists, some 150 bytes a photo, are all that a scan holds of a data set.
    """

    root: Path
    kind: Kind
    names: Sequence[str]
    labels: Sequence[str]
    sizes: Sequence[int]
    offsets: Sequence[int]

    def __len__(self) -> int:
        return len(self.names)

    def photo(self, number: int) -> Photo:
        """Give the photo of a number."""
        name = self.names[number]
        file = self.root if self.kind == "tar" else self.root / name
        return Photo(number, name, file, self.offsets[number], self.sizes[number])

    def batches(self, *, done: int = 0) -> Iterator[Batch]:
        """Give the batches in order, but for those whose bit is set in `done`."""
        for number, first in enumerate(range(0, len(self), BATCH)):
            if not done >> number & 1:
                numbers = range(first, min(len(self), first + BATCH))
                yield Batch(number, tuple(self.photo(each) for each in numbers))

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of all names, classes and sizes, in order."""
        digest = hashlib.sha256()
        for name, label, size in zip(self.names, self.labels, self.sizes, strict=True):
            digest.update(f"{name}\0{label}\0{size}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def sorted_data(kind: Kind, root: Path, photos: Mapping[str, Found]) -> DataSet:
    """Put what was found in order, by name. Raises InputError where nothing was."""
    if not photos:
        kinds = ", ".join(sorted(SUFFIXES))
        raise InputError(f"'{root}' holds no photos ({kinds})", field="data")
    names = sorted(photos)
    labels = [intern(photos[name].label) for name in names]
    sizes = array("q", (photos[name].size for name in names))
    offsets = array("q", (photos[name].offset for name in names))
    return DataSet(root, kind, names, labels, sizes, offsets)


def is_photo(name: str) -> bool:
    """Say whether a path in a data set looks like a photo's: by its suffix, and no part of it hidden."""
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and Path(name).suffix.lower() in SUFFIXES


def first_folder(name: str) -> str:
    """Give the first folder of a path in a data set, empty where it has none: the photo's class."""
    folder, slash, _ = name.partition("/")
    return folder if slash else ""


def printable(name: str) -> str:
    """Give a path as text that any file can hold: bytes of it that are no UTF-8 as \\xff."""
    return os.fsencode(name).decode(errors="backslashreplace")
