"""Listing of the photos in a folder and its sub-folders, following links.

A file is opened only if it is a PNG or does not have the suffix of a photo.

Each file and folder is listed once per class, however many links lead to it: under its own name if it is in
the class, else under that of the first link by name. Otherwise, folders that link to each other would be
listed under a combinatorial number of paths.
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

from zfscope.datasets.dataset import ListedFile, file_stamp
from zfscope.datasets.first_bytes import SkipReason, has_photo_suffix, is_photo_by_name, skip_reason
from zfscope.datasets.names import as_unicode, first_folder, quoted
from zfscope.datasets.skipped_files import (
    DANGLING,
    GALLERY,
    LOOP,
    REPEATED,
    SPECIAL,
    UNREADABLE,
    SkippedFilesCounter,
    hidden_or_system,
)
from zfscope.errors import InputError
from zfscope.images.formats import HEAD_BYTES

_KIND_BY_ERRNO: Mapping[int, str] = {errno.ELOOP: LOOP, errno.ENOENT: DANGLING, errno.ENOTDIR: DANGLING}


class _Entry(NamedTuple):
    """A file or folder to list.

    name: path relative to the data set. path: path to open. above: device and inode of each parent folder.
    """

    name: str
    path: str
    above: frozenset[tuple[int, int]]


@dataclass
class FolderListing:
    """The photos of a folder, its first-level sub-folders, and the skipped files."""

    photos: dict[str, ListedFile] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    skipped: SkippedFilesCounter = field(default_factory=SkippedFilesCounter)


def list_folder(root: Path) -> FolderListing:
    """List the photos of a folder and its sub-folders. Raises InputError if the folder cannot be read."""
    walk = _FolderWalk()
    try:
        pending = walk.scan(_Entry("", str(root), frozenset({_identity(root.stat())})))
    except OSError as error:
        message = f"{quoted(str(root))} cannot be read: {error.strerror or error}"
        raise InputError(message, field="data") from error
    # A stack instead of recursion: folders may be nested deeper than Python's recursion limit.
    while pending or walk.links:
        pending = pending or walk.follow_links()
        if pending:
            pending += walk.scan_subfolder(pending.pop())
    return walk.listing


class _FolderWalk:
    """Traversal of folders; links are followed last, so that a file is listed under its own name."""

    def __init__(self) -> None:
        self.listing = FolderListing()
        self.links: list[_Entry] = []
        self._listed: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)

    def scan(self, folder: _Entry) -> list[_Entry]:
        """List a folder's photos and return its sub-folders in descending order of names. Raises OSError."""
        folders, hard_linked = list[_Entry](), list[tuple[_Entry, os.stat_result]]()
        with os.scandir(folder.path) as entries:
            for entry, status in self._visible(folder, entries):
                if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                    hard_linked.append((entry, status))
                else:
                    folders += self._add(entry, status)
        # A file with several hard links is listed under the first by name, not in the file system's order.
        for entry, status in sorted(hard_linked, key=lambda item: item[0].name):
            self._add(entry, status)
        return sorted(folders, key=lambda entry: entry.name, reverse=True)

    def scan_subfolder(self, folder: _Entry) -> list[_Entry]:
        """List a folder like `scan`, or skip it if it cannot be read."""
        try:
            return self.scan(folder)
        except OSError:
            self._skip(UNREADABLE, folder.name)
            return []

    def follow_links(self) -> list[_Entry]:
        """List the targets of the pending links; return folders among them in descending order of names."""
        links, self.links = sorted(self.links, key=lambda entry: entry.name), []
        folders = list[_Entry]()
        for link in links:
            try:
                folders += self._add(link, os.stat(link.path))  # noqa: PTH116  # scandir yields strings
            except OSError as error:
                self._skip(_KIND_BY_ERRNO.get(error.errno or 0, UNREADABLE), link.name)
        return folders[::-1]

    def _visible(
        self, folder: _Entry, entries: Iterator[os.DirEntry[str]]
    ) -> Iterator[tuple[_Entry, os.stat_result]]:
        """Yield a folder's entries with their status; skip hidden and system entries, and defer links."""
        for entry in entries:
            name = f"{folder.name}/{entry.name}" if folder.name else entry.name
            listed = _Entry(name, entry.path, folder.above)
            if kind := hidden_or_system(entry.name):
                self._skip(kind, name)
            elif entry.is_symlink():
                self.links.append(listed)
            else:
                try:
                    status = entry.stat()
                    yield listed, status if status.st_ino else os.stat(entry.path)  # noqa: PTH116  # on Windows, scandir leaves the inode 0
                except OSError as error:
                    self._skip(_KIND_BY_ERRNO.get(error.errno or 0, UNREADABLE), name)

    def _add(self, entry: _Entry, status: os.stat_result) -> list[_Entry]:
        """List or skip a file or folder; return the folder if its contents must be listed."""
        is_folder, identity = stat.S_ISDIR(status.st_mode), _identity(status)
        if is_folder and identity in entry.above:
            self._skip(LOOP, entry.name)
            return []
        if is_folder and _is_gallery(entry.path):
            self._skip(GALLERY, entry.name)
            return []
        if is_folder and "/" not in entry.name:
            self.listing.classes.append(entry.name)
        label = entry.name.partition("/")[0] if is_folder else first_folder(entry.name)
        if identity[1] and identity in self._listed[label]:  # 0 on file systems without inodes
            self._skip(REPEATED, entry.name)
            return []
        self._listed[label].add(identity)
        if is_folder:
            return [entry._replace(above=entry.above | {identity})]
        _add_file(entry.path, entry.name, status, self.listing)
        return []

    def _skip(self, kind: str, name: str) -> None:
        self.listing.skipped.add(kind, as_unicode(name))


def _add_file(path: str, name: str, status: os.stat_result, listing: FolderListing) -> None:
    """Add a file to the photos or to the skipped files."""
    if not stat.S_ISREG(status.st_mode):
        listing.skipped.add(SPECIAL, as_unicode(name))
        return
    if not is_photo_by_name(name):
        try:
            reason = skip_reason(name, _head(path))
        except OSError:  # an unreadable PNG counts as a photo that cannot be used
            reason = None if has_photo_suffix(name) else SkipReason(UNREADABLE)
        if reason:
            listing.skipped.add(reason.kind, as_unicode(name), advice=reason.advice)
            return
    stamp = file_stamp(status, now_ns=time.time_ns())
    listing.photos[name] = ListedFile(first_folder(name), status.st_size, stamp=stamp)


def _is_gallery(path: str) -> bool:
    """Return whether a folder is a finished or unfinished gallery created by zfscope."""
    finished = all(os.path.isfile(f"{path}/{name}") for name in ("gallery.json", "index.html"))  # noqa: PTH113  # scandir yields strings
    return finished or os.path.isfile(f"{path}/.unfinished/started.json")  # noqa: PTH113


def _head(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # scandir yields strings; creating a Path would double the time
        return file.read(HEAD_BYTES) or b""


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
