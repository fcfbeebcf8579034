"""Listing of the photos in a tar; they are read in place, without unpacking."""

import lzma
import posixpath
import tarfile
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from zfscope.datasets.dataset import ListedFile, file_stamp
from zfscope.datasets.first_bytes import SkipReason, is_photo_by_name, skip_reason
from zfscope.datasets.names import as_unicode, first_folder, quoted
from zfscope.datasets.skipped_files import SPECIAL, SYSTEM, TAR_LINK, SkippedFilesCounter, hidden_or_system
from zfscope.errors import InputError
from zfscope.images.formats import HEAD_BYTES

# Exceptions of tarfile for damaged archives.
_DAMAGE = (tarfile.TarError, OSError, ValueError, EOFError)


@dataclass
class TarListing:
    """The photos of a tar, its folders, and the skipped files. system_folders: skipped system folders."""

    photos: dict[str, ListedFile] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    skipped: SkippedFilesCounter = field(default_factory=SkippedFilesCounter)
    system_folders: set[str] = field(default_factory=set)

    @property
    def classes(self) -> list[str]:
        """The classes, including those without photos."""
        start = _common_folders(self.photos)
        folders = [name[len(start) :] for name in self.folders if name.startswith(start)]
        labels = {first_folder(f"{folder}/") for folder in folders}
        return sorted(labels - {"", "."})  # "." is the root of a tar created from "."


def list_tar(tar: Path) -> TarListing:
    """List the photos of a tar by name; of members with the same name, the last counts, as for unpacking.

    The class of a photo is its first folder below the folders common to all photos. Raises InputError for a
    damaged tar, and for a compressed one, which would have to be read from its start for each photo.
    """
    listing = TarListing()
    try:
        stamp = file_stamp(tar.stat(), now_ns=time.time_ns())
        with tarfile.open(tar, "r:") as archive, tar.open("rb") as contents:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # otherwise tarfile keeps a kilobyte per member
                _add(member, contents, stamp, listing)
    except _DAMAGE as error:
        raise damaged_tar_error(tar, error) from error
    start = len(_common_folders(listing.photos))
    for name, photo in listing.photos.items():
        listing.photos[name] = photo._replace(label=first_folder(name[start:]))
    return listing


def is_tar(path: Path) -> bool:
    """Return whether a file is a tar, compressed or not. Raises InputError if it cannot be read."""
    try:
        return tarfile.is_tarfile(path)
    except OSError as error:
        message = f"{quoted(str(path))} cannot be read: {error.strerror or error}"
        raise InputError(message, field="data") from error
    except (EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise damaged_tar_error(path, error) from error


def damaged_tar_error(tar: Path, fault: Exception) -> InputError:
    """Return the error for a tar that does not allow random access."""
    shown = as_unicode(str(tar))
    advice = "unpack it, or create the tar without compression"
    message = f"'{shown}' is a compressed or damaged tar ({fault}); {advice}"
    return InputError(message, field="data")


def tar_photos(tar: Path) -> Mapping[str, ListedFile]:
    """Return the photos of a tar by name. Raises InputError like `list_tar`."""
    return list_tar(tar).photos


def _add(member: tarfile.TarInfo, contents: BinaryIO, stamp: int, listing: TarListing) -> None:
    name = posixpath.normpath(member.name)
    if name != "." and _skip_by_name(name, listing):
        return
    if member.isdir():
        listing.folders.add(name)
    elif member.islnk() and (target := listing.photos.get(posixpath.normpath(member.linkname))):
        listing.photos[name] = target  # a hard link to an earlier member
    elif reason := _skip_reason(member, name, contents):
        listing.skipped.add(reason.kind, as_unicode(name), advice=reason.advice)
    else:
        listing.photos[name] = ListedFile("", member.size, member.offset_data, stamp)


def _skip_by_name(name: str, listing: TarListing) -> bool:
    """Count a member that is hidden or in a system folder (counted once); return whether it is skipped."""
    parts = name.split("/")
    kinds = list(map(hidden_or_system, parts))
    kind = next(filter(None, kinds), "")
    if kind == SYSTEM:
        name = "/".join(parts[: kinds.index(SYSTEM) + 1])
        if name in listing.system_folders:
            return True
        listing.system_folders.add(name)
    if kind:
        listing.skipped.add(kind, as_unicode(name))
    return bool(kind)


def _skip_reason(member: tarfile.TarInfo, name: str, contents: BinaryIO) -> SkipReason | None:
    """Return why a member is not a photo; None if it is one."""
    if member.issym() or member.islnk():
        return SkipReason(TAR_LINK, "create the tar with --dereference")
    if not member.isreg() or member.issparse():
        return SkipReason(SPECIAL)
    if is_photo_by_name(name):
        return None
    contents.seek(member.offset_data)
    return skip_reason(name, contents.read(min(HEAD_BYTES, member.size)))


def _common_folders(photos: Mapping[str, ListedFile]) -> str:
    """Return the path of the folders common to all photos, with a trailing slash; empty if there are none."""
    if not photos:
        return ""
    # A prefix shared by the first and the last name in order is shared by all.
    shared = posixpath.commonprefix([min(photos), max(photos)])
    return shared[: shared.rfind("/") + 1]
