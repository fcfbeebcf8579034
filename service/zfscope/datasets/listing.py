"""Listing a data set: a folder, a text file that names photos, or a tar of folders."""

from pathlib import Path

from zfscope.datasets.dataset import DataSet, sorted_data
from zfscope.datasets.folder import list_folder
from zfscope.datasets.names import quoted
from zfscope.datasets.photo_list import listed_photos
from zfscope.datasets.tar import is_tar, list_tar
from zfscope.errors import InputError


def open_data(path: Path) -> DataSet:
    """List the photos of a data set, sorted by name.

    path: a folder, whose sub-folders are the classes, if it has any; a plain tar of such a folder; or a
    text file of one path a line, relative to it, each with its class behind a TAB, if it has one. In
    folders and tars a file is a photo by its suffix, or by its first bytes where the suffix is not a
    photo's; hidden files and folders, and those of systems, are passed over. Links are followed.

    Raises InputError where there is no such data set, or no photo in it.
    """
    root = _resolved(path)
    if root.is_dir():
        folder = list_folder(root)
        return sorted_data(
            "folder", root, folder.photos, classes=folder.classes, passed_over=folder.passed.result()
        )
    if not root.is_file():
        reason = "neither a folder nor a plain file" if root.exists() else "no such folder or file"
        raise _missing(path, reason)
    if is_tar(root):
        tar = list_tar(root)
        return sorted_data("tar", root, tar.photos, classes=tar.classes, passed_over=tar.passed.result())
    return sorted_data("list", root.parent, listed_photos(root))


def _resolved(path: Path) -> Path:
    """Return the path without links. Raises InputError where links lead in a circle, or are out of reach."""
    try:
        root = path.resolve()
        root.exists()  # raises where a folder above it may not be entered
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its links lead in a circle"
        raise _missing(path, str(reason)) from error
    return root


def _missing(path: Path, reason: str) -> InputError:
    return InputError(f"no data set {quoted(str(path))}: {reason}", field="data")
