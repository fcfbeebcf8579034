"""Photos in a tar, read where they lie: nothing is unpacked."""

import lzma
import posixpath
import tarfile
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from zfscope.datasets.dataset import ListedFile, stamp_of
from zfscope.datasets.first_bytes import Refusal, is_photo_by_name, refusal_of
from zfscope.datasets.names import first_folder, printable, quoted
from zfscope.datasets.passed_over import SPECIAL, SYSTEM, TAR_LINK, Collector, kind_of_name
from zfscope.errors import InputError
from zfscope.images.formats import HEAD_BYTES

# What tarfile raises for damaged archives, besides its own errors.
_FAULTS = (tarfile.TarError, OSError, ValueError, EOFError)


@dataclass
class TarListing:
    """The photos of a tar, its folders, and what was passed over; system: folders of systems among that."""

    photos: dict[str, ListedFile] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    passed: Collector = field(default_factory=Collector)
    system: set[str] = field(default_factory=set)

    @property
    def classes(self) -> list[str]:
        """The classes, also those without photos."""
        start = _common_folders(self.photos)
        folders = [name[len(start) :] for name in self.folders if name.startswith(start)]
        labels = {first_folder(f"{folder}/") for folder in folders}
        return sorted(labels - {"", "."})  # the last is the root of a tar that was made of "."


def list_tar(tar: Path) -> TarListing:
    """List the photos of a tar by name; of several of one name the last, as unpacking would leave it.

    The class of a photo is its first folder, not counting folders that hold all photos of the tar.
    Raises InputError for a tar that is compressed, which can only be read from its beginning, or damaged.
    """
    listing = TarListing()
    try:
        stamp = stamp_of(tar.stat(), now_ns=time.time_ns())
        with tarfile.open(tar, "r:") as opened, tar.open("rb") as contents:
            while (member := opened.next()) is not None:
                opened.members = []  # type: ignore[attr-defined]  # else it keeps a kilobyte of each
                _add(member, contents, stamp, listing)
    except _FAULTS as error:
        raise damaged_tar(tar, error) from error
    start = len(_common_folders(listing.photos))
    for name, found in listing.photos.items():
        listing.photos[name] = found._replace(label=first_folder(name[start:]))
    return listing


def is_tar(path: Path) -> bool:
    """Return whether a file is a tar, compressed or not. Raises InputError for one that cannot be read."""
    try:
        return tarfile.is_tarfile(path)
    except OSError as error:
        message = f"{quoted(str(path))} cannot be read: {error.strerror or error}"
        raise InputError(message, field="data") from error
    except (EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise damaged_tar(path, error) from error


def damaged_tar(tar: Path, fault: Exception) -> InputError:
    """Return the error for a tar that cannot be read from any place."""
    shown = printable(str(tar))
    message = f"'{shown}' is a compressed or damaged tar ({fault}): unpack it, or pack it uncompressed"
    return InputError(message, field="data")


def packed_photos(tar: Path) -> Mapping[str, ListedFile]:
    """Return the photos of a tar by name. Raises InputError as `list_tar` does."""
    return list_tar(tar).photos


def _add(member: tarfile.TarInfo, contents: BinaryIO, stamp: int, listing: TarListing) -> None:
    name = posixpath.normpath(member.name)
    if name != "." and _is_passed_over(name, listing):
        return
    if member.isdir():
        listing.folders.add(name)
    elif member.islnk() and (target := listing.photos.get(posixpath.normpath(member.linkname))):
        listing.photos[name] = target  # a file that was packed before, under another name
    elif refusal := _refusal_of(member, name, contents):
        listing.passed.add(refusal.kind, printable(name), advice=refusal.advice)
    else:
        listing.photos[name] = ListedFile("", member.size, member.offset_data, stamp)


def _is_passed_over(name: str, listing: TarListing) -> bool:
    """Pass over a hidden member, and one in a folder of a system, which counts once; return whether it is."""
    parts = name.split("/")
    kinds = list(map(kind_of_name, parts))
    kind = next(filter(None, kinds), "")
    if kind == SYSTEM:
        name = "/".join(parts[: kinds.index(SYSTEM) + 1])
        if name in listing.system:
            return True
        listing.system.add(name)
    if kind:
        listing.passed.add(kind, printable(name))
    return bool(kind)


def _refusal_of(member: tarfile.TarInfo, name: str, contents: BinaryIO) -> Refusal | None:
    """Return why a member is not a photo, None where it is one."""
    if member.issym() or member.islnk():
        return Refusal(TAR_LINK, "pack them with tar --dereference")
    if not member.isreg() or member.issparse():
        return Refusal(SPECIAL)
    if is_photo_by_name(name):
        return None
    contents.seek(member.offset_data)
    return refusal_of(name, contents.read(min(HEAD_BYTES, member.size)))


def _common_folders(photos: Mapping[str, ListedFile]) -> str:
    """Return the folders that hold all photos, with a slash at the end; empty where there are none."""
    if not photos:
        return ""
    # What the first and the last in order share, all do.
    shared = posixpath.commonprefix([min(photos), max(photos)])
    return shared[: shared.rfind("/") + 1]
