"""Photos in a tar, read where they lie: nothing is unpacked."""

import posixpath
import tarfile
from collections.abc import Mapping
from pathlib import Path

from zfscope.errors import InputError
from zfscope.scan.data import Found, first_folder, is_photo


def packed_photos(tar: Path) -> Mapping[str, Found]:
    """List the photos of a tar by name; of several of one name the last, as unpacking would leave it.

    The class of a photo is its first folder, not counting folders that hold all photos of the tar.
    Raises InputError for a tar that is compressed, which can only be read from its beginning, or damaged.
    """
    photos: dict[str, Found] = {}
    try:
        with tarfile.open(tar, "r:") as opened:
            while (member := opened.next()) is not None:
                opened.members = []  # type: ignore[attr-defined]  # else it keeps a kilobyte of each
                name = posixpath.normpath(member.name)
                found = _found(member, photos)
                if found and is_photo(name):
                    photos[name] = found
    except tarfile.TarError as error:
        message = f"'{tar}' is a compressed or damaged tar ({error}): unpack it, or pack it uncompressed"
        raise InputError(message, field="data") from error
    return _labelled(photos)


def _found(member: tarfile.TarInfo, photos: Mapping[str, Found]) -> Found | None:
    if member.islnk():  # a file that was packed before, under another name
        return photos.get(posixpath.normpath(member.linkname))
    plain = member.isreg() and not member.issparse()
    return Found("", member.size, member.offset_data) if plain else None


def _labelled(photos: Mapping[str, Found]) -> Mapping[str, Found]:
    if not photos:
        return photos
    # What the first and the last in order share, all do.
    start = posixpath.commonprefix([min(photos), max(photos)]).rfind("/") + 1
    return {name: found._replace(label=first_folder(name[start:])) for name, found in photos.items()}
