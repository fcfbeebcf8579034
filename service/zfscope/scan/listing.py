"""Listing a data set: a folder, a text file that names photos, or a tar of folders."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from zfscope.errors import InputError
from zfscope.scan.data import DataSet, Found, first_folder, is_photo, sorted_data
from zfscope.scan.photo_list import listed_photos
from zfscope.scan.tar import packed_photos


def open_data(path: Path) -> DataSet:
    """List the photos of a data set, sorted by name.

    path: a folder, whose sub-folders are the classes, if it has any; a plain tar of such a folder; or a
    text file of one path a line, relative to it, each with its class behind a TAB, if it has one. In
    folders and tars a photo is known by its suffix, and what is hidden is passed over.

    Raises InputError where there is no such data set, or no photo in it.
    """
    root = path.resolve()
    if root.is_dir():
        return sorted_data("folder", root, dict(_walk(root, "", frozenset())))
    if not root.is_file():
        raise InputError(f"no data set '{path}': no such folder or file", field="data")
    if tarfile.is_tarfile(root):
        return sorted_data("tar", root, packed_photos(root))
    return sorted_data("list", root.parent, listed_photos(root))


def _walk(folder: Path, below: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, Found]]:
    """List the photos of a folder and of those in it, links included, but for links to a folder above."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            name = below + entry.name
            if entry.is_dir() and not entry.name.startswith("."):
                yield from _walk(Path(entry.path), f"{name}/", above | {here})
            elif is_photo(name) and entry.is_file():
                yield name, Found(first_folder(name), entry.stat().st_size)
