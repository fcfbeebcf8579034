"""Reading files of the store so that what is used is what the manifest names."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from zfscope.errors import ZfscopeError

INDEXES = "indexes"
"""The folder of what is made of a model later, and is no part of it: each index has its own manifest."""


class DamagedModel(ZfscopeError):
    """A stored model that is not what its manifest says; the message names model, version and file."""


def sha256(data: bytes) -> str:
    """Give the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_inside(folder: Path, file: str, *, title: str) -> bytes:
    """Read a file of a version's folder.

    title: the model, for messages. Raises DamagedModel where there is no such file, where it is no
    plain file, or where a link leads out of the folder.
    """
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DamagedModel(f"{title}: '{file}' is a link that leads out of the model's folder")
    if not path.exists():
        raise DamagedModel(f"{title}: '{file}' is missing in {folder}")
    if not path.is_file():
        raise DamagedModel(f"{title}: '{file}' is no plain file")
    return path.read_bytes()


def read_verified(folder: Path, file: str, hashes: Mapping[str, str], *, title: str) -> bytes:
    """Read a file once and give its bytes if they have the hash that the manifest states.

    The caller parses these very bytes: a file that changes afterwards changes nothing.
    Raises DamagedModel for a file that is not listed, is missing or has other contents.
    """
    if file not in hashes:
        raise DamagedModel(f"{title}: the manifest does not list '{file}'; it has {_listing(hashes)}")
    data = read_inside(folder, file, title=title)
    found, stated = sha256(data), hashes[file]
    if found != stated:
        raise DamagedModel(
            f"{title}: '{file}' is not the file of the manifest: its SHA-256 is {found[:12]}..., "
            f"the manifest states {stated[:12]}...; fetch the model again"
        )
    return data


def verify_folder(folder: Path, hashes: Mapping[str, str], *, besides: str, title: str) -> None:
    """Check that a folder holds the listed files, unchanged, and no others but `besides`.

    Raises DamagedModel for the first file that is wrong.
    """
    for file in sorted(hashes):
        read_verified(folder, file, hashes, title=title)
    strangers = sorted(set(files_of(folder)) - set(hashes) - {besides})
    if strangers:
        raise DamagedModel(f"{title}: '{strangers[0]}' is in {folder}, but the manifest does not list it")


def files_of(folder: Path) -> list[str]:
    """Name every file of a version's folder but its indexes, relative to it, with `/` between parts."""
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if not path.is_dir()]
    return [file for file in files if not file.startswith(f"{INDEXES}/")]


def _listing(names: Mapping[str, str]) -> str:
    return ", ".join(sorted(names)) or "no files"
