"""A data set: photos with numbers, wherever they are stored."""

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
from zfscope.datasets.passed_over import PassedOver, in_words
from zfscope.errors import InputError
from zfscope.images.formats import photo_suffixes

Kind = Literal["folder", "list", "tar"]

# The size of a photo that a list names and that does not exist.
NOT_THERE = -1

# The stamp of a file that has to be read to find out whether it changed.
NO_STAMP = 0

# File systems count time in steps of up to two seconds: a file that was changed this recently may change
# once more without another time.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True)
class Photo:
    """Location of one photo: all that a reader of it needs.

    number: its index in the data set's order. name: its path in the data set. file: the file that holds it,
    from byte `offset` on; `size` bytes of it, or NOT_THERE.
    """

    number: int
    name: str
    file: Path
    offset: int
    size: int


class ListedFile(NamedTuple):
    """A photo as it was listed: its class, size in bytes, first byte in a tar, and stamp."""

    label: str
    size: int
    offset: int = 0
    stamp: int = NO_STAMP


@dataclass(frozen=True, eq=False)
class DataSet:
    """The photos of a data set, sorted by name; the sequences run side by side.

    root: the folder that names are relative to, or the tar that holds them. labels: the class of each photo,
    empty where it has none. sizes: in bytes, NOT_THERE where a list names a file that does not exist.
    stamps: 64 bits that differ when a file was written again, or NO_STAMP; see `stamp_of`. classes: all of
    them, sorted, also those without photos. passed_over: what was found and is not listed. These, some 160
    bytes a photo, are all that is kept in memory of a data set.
    """

    root: Path
    kind: Kind
    names: Sequence[str]
    labels: Sequence[str]
    sizes: Sequence[int]
    offsets: Sequence[int]
    stamps: Sequence[int]
    classes: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def photo(self, number: int) -> Photo:
        """Return the photo of a number."""
        name = self.names[number]
        file = self.root if self.kind == "tar" else self.root / name
        return Photo(number, name, file, self.offsets[number], self.sizes[number])

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of all names, classes and sizes, in order."""
        digest = hashlib.sha256()
        for name, label, size in zip(self.names, self.labels, self.sizes, strict=True):
            digest.update(f"{name}\0{label}\0{size}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def sorted_data(
    kind: Kind,
    root: Path,
    photos: Mapping[str, ListedFile],
    *,
    classes: Sequence[str] = (),
    passed_over: tuple[PassedOver, ...] = (),
) -> DataSet:
    """Return listed photos in order, by name.

    classes: also those without photos. Raises InputError, with what was passed over, where there is no photo.
    """
    if not photos:
        others = f"; passed over: {in_words(passed_over)}" if passed_over else ""
        kinds = ", ".join(sorted(photo_suffixes()))
        raise InputError(f"{quoted(str(root))} holds no photos ({kinds}){others}", field="data")
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
        passed_over=passed_over,
    )


def stamp_of(status: os.stat_result, *, now_ns: int) -> int:
    """Return 64 bits of a file's size, times and inode: the same again means the same contents.

    The time of change cannot be set, so a file that was replaced by one of the same size and time of
    modification is noticed. now_ns: when the status was read; a file that was changed in the two seconds
    before gets NO_STAMP, since one more change may leave all its times as they are.
    """
    if now_ns - max(status.st_mtime_ns, status.st_ctime_ns) < _SETTLED_NS:
        return NO_STAMP
    known = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
    return int.from_bytes(hashlib.blake2b(known.encode(), digest_size=8).digest(), "little")
