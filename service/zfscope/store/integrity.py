"""Reading files of the store so that what is used is what the manifest names."""

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path

from zfscope.errors import DamagedModel

INDEXES = "indexes"
"""The folder of what is made of a model later, and is no part of it: each index has its own manifest."""


# What to do about any damage: the store holds copies, never the only source of a model.
_REMEDY = "copy the model from its source again, or remove the version's folder"


def sha256(data: bytes) -> str:
    """Give the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_regular_file(folder: Path, file: str) -> bytes:
    """Read a file of a folder. Raises ValueError as `check_regular_file`, and where it cannot be read."""
    check_regular_file(folder, file)
    try:
        return (folder / file).read_bytes()
    except OSError as error:
        raise ValueError(_unreadable(file, error.strerror)) from error


def check_regular_file(folder: Path, file: str) -> None:
    """Raise ValueError unless a folder holds a file: missing, not a plain file, or a link that leads out."""
    path = folder / file
    try:
        inside, mode = path.resolve(strict=True).is_relative_to(folder.resolve()), path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"'{file}' is missing") from error
    except OSError as error:
        raise ValueError(_unreadable(file, error.strerror)) from error
    except RuntimeError as error:  # before Python 3.13
        raise ValueError(_unreadable(file, "its links form a circle")) from error
    if not inside:
        raise ValueError(f"'{file}' is a link that leads out of its folder")
    if not stat.S_ISREG(mode):
        raise ValueError(f"'{file}' is not a plain file")


def read_model_file(folder: Path, file: str, *, title: str) -> bytes:
    """Read a file of a version's folder. title: the model, for messages. Raises DamagedModel."""
    try:
        return read_regular_file(folder, file)
    except ValueError as error:
        raise damaged_model(title, str(error)) from error


def damaged_model(title: str, fault: str) -> DamagedModel:
    """Return the error for a model of which something is wrong, with what to do about it."""
    return DamagedModel(f"{title}: {fault}; {_REMEDY}")


def read_verified(folder: Path, file: str, hashes: Mapping[str, str], *, title: str) -> bytes:
    """Read a file once and give its bytes if they have the hash that the manifest states.

    The caller parses these very bytes: a file that changes afterwards changes nothing.
    Raises DamagedModel for a file that is not listed, is missing or has other contents.
    """
    if file not in hashes:
        raise damaged_model(title, f"the manifest does not list '{file}'; it lists {_listing(hashes)}")
    data = read_model_file(folder, file, title=title)
    found, stated = sha256(data), hashes[file]
    if found != stated:
        raise damaged_model(
            title,
            f"'{file}' is not the file of the manifest: its SHA-256 is {found[:12]}..., "
            f"the manifest states {stated[:12]}...",
        )
    return data


def verify_files(folder: Path, hashes: Mapping[str, str], *, ignored: str, title: str) -> None:
    """Check that a folder holds the listed files, unchanged, and no others but `ignored`.

    Raises DamagedModel for the first file that is wrong.
    """
    for file in sorted(hashes):
        read_verified(folder, file, hashes, title=title)
    strangers = sorted(set(list_files(folder)) - set(hashes) - {ignored})
    if strangers:
        raise DamagedModel(f"{title}: '{strangers[0]}' is in {folder}, but the manifest does not list it")


def list_files(folder: Path) -> list[str]:
    """Name every file of a version's folder but its indexes, relative to it, with `/` between parts."""
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if not path.is_dir()]
    return [file for file in files if not file.startswith(f"{INDEXES}/")]


def _unreadable(file: str, reason: str | None) -> str:
    return f"'{file}' cannot be read: {reason}"


def _listing(names: Mapping[str, str]) -> str:
    return ", ".join(sorted(names)) or "no files"
