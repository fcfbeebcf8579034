"""Photos in a folder and those below it, links followed; only the start of PNGs and odd files is read.

Each file and folder is listed once in a class, however many links lead to it: under its own name where it
has one there, else under the first that links to it. Folders that link to each other would otherwise be
listed once for each of countless paths.
"""

import errno
import os
import stat
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from zfscope.datasets.dataset import ListedFile, stamp_of
from zfscope.datasets.first_bytes import Refusal, has_photo_suffix, is_photo_by_name, refusal_of
from zfscope.datasets.names import first_folder, printable, quoted
from zfscope.datasets.passed_over import (
    DANGLING,
    GALLERY,
    LOOP,
    REPEATED,
    SPECIAL,
    UNREADABLE,
    Collector,
    kind_of_name,
)
from zfscope.errors import InputError
from zfscope.images.formats import HEAD_BYTES

_FAULTS: Mapping[int, str] = {errno.ELOOP: LOOP, errno.ENOENT: DANGLING, errno.ENOTDIR: DANGLING}


class _Entry(NamedTuple):
    """A file or folder: its name in the data set, its path, and the folders above it, device and inode."""

    name: str
    path: str
    above: frozenset[tuple[int, int]]


@dataclass
class FolderListing:
    """The photos of a folder, its first-level folders, and what was passed over."""

    photos: dict[str, ListedFile] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    passed: Collector = field(default_factory=Collector)


def list_folder(root: Path) -> FolderListing:
    """List the photos of a folder and of those in it. Raises InputError where the folder cannot be read."""
    walk = _Walk()
    try:
        left = walk.scan(_Entry("", str(root), frozenset({_identity(root.stat())})))
    except OSError as error:
        message = f"{quoted(str(root))} cannot be read: {error.strerror or error}"
        raise InputError(message, field="data") from error
    # A list of its own instead of recursion: folders may be nested deeper than Python's calls.
    while left or walk.links:
        left = left or walk.follow_links()
        if left:
            left += walk.scan_below(left.pop())
    return walk.listing


class _Walk:
    """Lists folders one by one. Links are kept until all folders that are there themselves are listed."""

    def __init__(self) -> None:
        self.listing = FolderListing()
        self.links: list[_Entry] = []
        self._seen: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)

    def scan(self, folder: _Entry) -> list[_Entry]:
        """List a folder's photos; return the folders in it, the last by name first. Raises OSError."""
        found, several = list[_Entry](), list[tuple[_Entry, os.stat_result]]()
        with os.scandir(folder.path) as entries:
            for entry, status in self._visible(folder, entries):
                if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    several.append((entry, status))
                else:
                    found += self._add(entry, status)
        for entry, status in sorted(several, key=lambda each: each[0].name):
            self._add(entry, status)  # of names of one file, the first is listed, whatever the system's order
        return sorted(found, key=lambda each: each.name, reverse=True)

    def scan_below(self, folder: _Entry) -> list[_Entry]:
        """List a folder as `scan` does, or pass it over where it cannot be read."""
        try:
            return self.scan(folder)
        except OSError:
            self._pass_over(UNREADABLE, folder.name)
            return []

    def follow_links(self) -> list[_Entry]:
        """List what the links found so far lead to; return the folders among that, the last by name first."""
        links, self.links = sorted(self.links, key=lambda each: each.name), []
        found = list[_Entry]()
        for link in links:
            try:
                found += self._add(link, os.stat(link.path))  # noqa: PTH116  # names, as scandir's
            except OSError as error:
                self._pass_over(_FAULTS.get(error.errno or 0, UNREADABLE), link.name)
        return found[::-1]

    def _visible(
        self, folder: _Entry, entries: Iterator[os.DirEntry[str]]
    ) -> Iterator[tuple[_Entry, os.stat_result]]:
        """Return a folder's entries that are not hidden, of a system, or links, which are kept for later."""
        for entry in entries:
            name = f"{folder.name}/{entry.name}" if folder.name else entry.name
            found = _Entry(name, entry.path, folder.above)
            if kind := kind_of_name(entry.name):
                self._pass_over(kind, name)
            elif entry.is_symlink():
                self.links.append(found)
            else:
                try:
                    status = entry.stat()
                    yield found, status if status.st_ino else os.stat(entry.path)  # noqa: PTH116  # Windows
                except OSError as error:
                    self._pass_over(_FAULTS.get(error.errno or 0, UNREADABLE), name)

    def _add(self, entry: _Entry, status: os.stat_result) -> list[_Entry]:
        """Add a file to the photos or to what is passed over; return a folder that is to be scanned."""
        is_folder, identity = stat.S_ISDIR(status.st_mode), _identity(status)
        if is_folder and identity in entry.above:
            self._pass_over(LOOP, entry.name)
            return []
        if is_folder and _is_gallery(entry.path):
            self._pass_over(GALLERY, entry.name)
            return []
        if is_folder and "/" not in entry.name:
            self.listing.classes.append(entry.name)
        label = entry.name.partition("/")[0] if is_folder else first_folder(entry.name)
        if identity[1] and identity in self._seen[label]:  # file systems without inodes say 0
            self._pass_over(REPEATED, entry.name)
            return []
        self._seen[label].add(identity)
        if is_folder:
            return [entry._replace(above=entry.above | {identity})]
        _add_file(entry.path, entry.name, status, self.listing)
        return []

    def _pass_over(self, kind: str, name: str) -> None:
        self.listing.passed.add(kind, printable(name))


def _add_file(path: str, name: str, status: os.stat_result, listing: FolderListing) -> None:
    """Add a file to the photos, or to what is passed over."""
    if not stat.S_ISREG(status.st_mode):
        listing.passed.add(SPECIAL, printable(name))
        return
    if not is_photo_by_name(name):
        try:
            refusal = refusal_of(name, _head(path))
        except OSError:  # a PNG is a photo nevertheless, which then cannot be used
            refusal = None if has_photo_suffix(name) else Refusal(UNREADABLE)
        if refusal:
            listing.passed.add(refusal.kind, printable(name), advice=refusal.advice)
            return
    stamp = stamp_of(status, now_ns=time.time_ns())
    listing.photos[name] = ListedFile(first_folder(name), status.st_size, stamp=stamp)


def _is_gallery(path: str) -> bool:
    """Return whether a folder is a gallery of zfscope, or one that is being made."""
    finished = all(os.path.isfile(f"{path}/{name}") for name in ("gallery.json", "index.html"))  # noqa: PTH113  # names, as scandir's
    return finished or os.path.isfile(f"{path}/.unfinished/started.json")  # noqa: PTH113


def _head(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # scandir gives names; a Path costs as much again
        return file.read(HEAD_BYTES) or b""


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
