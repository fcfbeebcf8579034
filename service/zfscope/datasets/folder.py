"""Photos in a folder and the folders below it, links followed, nothing read but the start of odd files."""

import errno
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zfscope.datasets.dataset import ListedFile, stamp_of
from zfscope.datasets.first_bytes import has_photo_suffix, refusal_of
from zfscope.datasets.names import first_folder, printable, quoted
from zfscope.datasets.passed_over import DANGLING, HIDDEN, LOOP, SPECIAL, UNREADABLE, Collector, is_hidden
from zfscope.errors import InputError
from zfscope.images.formats import HEAD_BYTES

_FAULTS: Mapping[int, str] = {errno.ELOOP: LOOP, errno.ENOENT: DANGLING, errno.ENOTDIR: DANGLING}


@dataclass(frozen=True)
class _Folder:
    """A folder to be listed: its path, its name in the data set with a slash, and itself and those above it.

    chain: device and inode of each.
    """

    path: str
    name: str
    chain: frozenset[tuple[int, int]]


@dataclass
class FolderListing:
    """The photos of a folder, its first-level folders, and what was passed over."""

    photos: dict[str, ListedFile] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    passed: Collector = field(default_factory=Collector)


def list_folder(root: Path) -> FolderListing:
    """List the photos of a folder and of those in it. Raises InputError where the folder cannot be read."""
    listing = FolderListing()
    try:
        status = root.stat()
        left = _list_one(_Folder(str(root), "", frozenset({_identity(status)})), listing)
    except OSError as error:
        message = f"{quoted(str(root))} cannot be read: {error.strerror or error}"
        raise InputError(message, field="data") from error
    # A list of its own instead of recursion: folders may be nested deeper than Python's calls.
    while left:
        folder = left.pop()
        try:
            left += _list_one(folder, listing)
        except OSError:
            listing.passed.add(UNREADABLE, printable(folder.name.rstrip("/")))
    return listing


def _list_one(folder: _Folder, listing: FolderListing) -> list[_Folder]:
    """Add the photos of one folder to the listing, and return the folders in it. Raises OSError."""
    with os.scandir(folder.path) as entries:
        return list(_folders_in(folder, entries, listing))


def _folders_in(
    folder: _Folder, entries: Iterator[os.DirEntry[str]], listing: FolderListing
) -> Iterator[_Folder]:
    for entry in entries:
        name = folder.name + entry.name
        if is_hidden(entry.name):
            listing.passed.add(HIDDEN, printable(name))
            continue
        try:
            status = entry.stat()
        except OSError as error:
            listing.passed.add(_FAULTS.get(error.errno or 0, UNREADABLE), printable(name))
            continue
        if not stat.S_ISDIR(status.st_mode):
            _add_file(entry.path, name, status, listing)
        elif _identity(status) in folder.chain:
            listing.passed.add(LOOP, printable(name))
        else:
            if not folder.name:
                listing.classes.append(entry.name)
            yield _Folder(entry.path, f"{name}/", folder.chain | {_identity(status)})


def _add_file(path: str, name: str, status: os.stat_result, listing: FolderListing) -> None:
    """Add a file to the photos, or to what is passed over."""
    if not stat.S_ISREG(status.st_mode):
        listing.passed.add(SPECIAL, printable(name))
        return
    if not has_photo_suffix(name):
        try:
            refusal = refusal_of(name, _head(path))
        except OSError:
            listing.passed.add(UNREADABLE, printable(name))
            return
        if refusal:
            listing.passed.add(refusal.kind, printable(name), advice=refusal.advice)
            return
    stamp = stamp_of(status, now_ns=time.time_ns())
    listing.photos[name] = ListedFile(first_folder(name), status.st_size, stamp=stamp)


def _head(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # scandir gives names; a Path costs as much again
        return file.read(HEAD_BYTES) or b""


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
