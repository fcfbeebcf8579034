"""Listing of data sets: a folder, a tar, or a text or Parquet file that lists photos."""

from pathlib import Path

from zfscope.datasets.dataset import DataSet, build_data_set
from zfscope.datasets.folder import list_folder
from zfscope.datasets.names import quoted
from zfscope.datasets.photo_list import read_photo_list
from zfscope.datasets.tar import is_tar, list_tar
from zfscope.errors import InputError


def open_data(path: Path) -> DataSet:
    """List the photos of a data set, sorted by name.

    path: a folder whose sub-folders are the classes, an uncompressed tar of such a folder, a text file with
    one path per line, relative to that file and optionally followed by a TAB and the class, or a Parquet file
    with the columns `path` and optionally `class`. In folders and tars, files with other suffixes than those
    of photos are recognised by their first bytes; hidden files and system folders are skipped. Links in
    folders are followed.

    Raises InputError if the data set does not exist or contains no photos.
    """
    root = _resolved(path)
    if root.is_dir():
        folder = list_folder(root)
        return build_data_set(
            "folder", root, folder.photos, classes=folder.classes, skipped_files=folder.skipped.result()
        )
    if not root.is_file():
        reason = "neither a folder nor a regular file" if root.exists() else "no such folder or file"
        raise _missing(path, reason)
    if is_tar(root):
        tar = list_tar(root)
        return build_data_set(
            "tar", root, tar.photos, classes=tar.classes, skipped_files=tar.skipped.result()
        )
    return build_data_set("list", root.parent, read_photo_list(root))


def _resolved(path: Path) -> Path:
    """Resolve the links in a path. Raises InputError if they are circular or a folder is not accessible."""
    try:
        root = path.resolve()
        root.exists()  # raises if a parent folder is not accessible
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "circular links"
        raise _missing(path, str(reason)) from error
    return root


def _missing(path: Path, reason: str) -> InputError:
    return InputError(f"data set {quoted(str(path))} cannot be opened: {reason}", field="data")
