"""Data sets: numbered photos in a folder, a tar, or listed in a file."""

import hashlib
import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import Literal, NamedTuple

from zfscope.datasets.names import quoted
from zfscope.datasets.skipped_files import SkippedFiles, describe_skipped
from zfscope.errors import InputError
from zfscope.images.formats import photo_suffixes

DataSetKind = Literal["folder", "list", "tar"]

# Size of a listed photo whose file does not exist.
MISSING = -1

# Stamp of a file that must be read to detect a change.
NO_STAMP = 0

# Resolution of file timestamps: on FAT, two seconds. A file modified within this time can be modified again
# without a new timestamp.
_TIMESTAMP_RESOLUTION_NS = 2_000_000_000


@dataclass(frozen=True)
class Photo:
    """Location of one photo.

    number: its index in the data set. name: its path relative to the data set. file: the file, or the tar
    that contains it at byte `offset`. size: in bytes, or MISSING.
    """

    number: int
    name: str
    file: Path
    offset: int
    size: int


class ListedFile(NamedTuple):
    """A listed photo: its class, size in bytes, byte offset in the tar, and stamp."""

    label: str
    size: int
    offset: int = 0
    stamp: int = NO_STAMP


@dataclass(frozen=True, eq=False)
class DataSet:
    """The photos of a data set, sorted by name.

    `names`, `labels`, `sizes`, `offsets` and `stamps` are parallel, and take about 160 bytes per photo.

    root: the folder that names are relative to, or the tar. labels: class of each photo, empty if it has
    none. sizes: in bytes, or MISSING for a listed file that does not exist. offsets: in bytes, within the
    tar. stamps: see `file_stamp`. classes: sorted, including those without photos. skipped_files: files and
    folders that are not photos, by kind.
    """

    root: Path
    kind: DataSetKind
    names: Sequence[str]
    labels: Sequence[str]
    sizes: Sequence[int]
    offsets: Sequence[int]
    stamps: Sequence[int]
    classes: tuple[str, ...] = ()
    skipped_files: tuple[SkippedFiles, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def photo(self, number: int) -> Photo:
        """Return the photo with the given number."""
        name = self.names[number]
        file = self.root if self.kind == "tar" else self.root / name
        return Photo(number, name, file, self.offsets[number], self.sizes[number])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the names, classes and sizes of all photos, in order."""
        digest = hashlib.sha256()
        for name, label, size in zip(self.names, self.labels, self.sizes, strict=True):
            digest.update(f"{name}\0{label}\0{size}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def build_data_set(
    kind: DataSetKind,
    root: Path,
    photos: Mapping[str, ListedFile],
    *,
    classes: Sequence[str] = (),
    skipped_files: tuple[SkippedFiles, ...] = (),
) -> DataSet:
    """Return the data set of the listed photos.

    photos: by name. classes: classes to include even if they have no photos. Raises InputError if there are
    no photos; the message describes the skipped files.
    """
    if not photos:
        skipped = f"; skipped: {describe_skipped(skipped_files)}" if skipped_files else ""
        kinds = ", ".join(sorted(photo_suffixes()))
        raise InputError(f"{quoted(str(root))} contains no photos ({kinds}){skipped}", field="data")
    names = sorted(photos)
    labels = [intern(photos[name].label) for name in names]
    return DataSet(
        root=root,
        kind=kind,
        names=names,
        labels=labels,
        sizes=array("q", (photos[name].size for name in names)),
        offsets=array("q", (photos[name].offset for name in names)),
        stamps=array("Q", (photos[name].stamp for name in names)),
        classes=tuple(sorted({*classes, *labels} - {""})),
        skipped_files=skipped_files,
    )


def file_stamp(status: os.stat_result, *, now_ns: int) -> int:
    """Return a 64-bit hash of a file's size, timestamps and inode; an equal stamp means equal contents.

    The hash includes ctime, which programs cannot set, so a replacement with the same size and modification
    time changes the stamp. now_ns: time at which the status was read. Returns NO_STAMP for a file modified
    in the two seconds before, because another modification might not change its timestamps.
    """
    if now_ns - max(status.st_mtime_ns, status.st_ctime_ns) < _TIMESTAMP_RESOLUTION_NS:
        return NO_STAMP
    text = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
