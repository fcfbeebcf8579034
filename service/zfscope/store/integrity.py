"""Verified reading of the store's files: the bytes used are the bytes that were hashed."""

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path

from zfscope.errors import DamagedModel

# Subfolder of indexes. They are made later and are not part of the model: each has its own manifest.
INDEXES = "indexes"


# The remedy for any damage: the store holds copies, never the only source of a model.
_REMEDY = "copy the model from its source again, or remove the version's folder"


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_regular_file(folder: Path, file: str) -> bytes:
    """Read a file of a folder. Raises ValueError as `check_regular_file` does, and if it cannot be read."""
    check_regular_file(folder, file)
    try:
        return (folder / file).read_bytes()
    except OSError as error:
        raise ValueError(_unreadable(file, error.strerror)) from error


def check_regular_file(folder: Path, file: str) -> None:
    """Raise ValueError if a file is missing, not a regular file, or a link out of its folder."""
    path = folder / file
    try:
        inside, mode = path.resolve(strict=True).is_relative_to(folder.resolve()), path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"'{file}' is missing") from error
    except OSError as error:
        raise ValueError(_unreadable(file, error.strerror)) from error
    except RuntimeError as error:  # before Python 3.13
        raise ValueError(_unreadable(file, "its links form a loop")) from error
    if not inside:
        raise ValueError(f"'{file}' is a link to a file outside its folder")
    if not stat.S_ISREG(mode):
        raise ValueError(f"'{file}' is not a regular file")


def read_model_file(folder: Path, file: str, *, title: str) -> bytes:
    """Read a file of a version's folder. title: the model, for messages. Raises DamagedModel."""
    try:
        return read_regular_file(folder, file)
    except ValueError as error:
        raise damaged_model(title, str(error)) from error


def damaged_model(title: str, fault: str) -> DamagedModel:
    """Return the error for a damaged model, with the remedy."""
    return DamagedModel(f"{title}: {fault}; {_REMEDY}")


def read_verified(folder: Path, file: str, hashes: Mapping[str, str], *, title: str) -> bytes:
    """Read a file once, check its hash against the manifest's, and return its bytes.

    The caller parses the returned bytes, so later changes to the file have no effect.
    Raises DamagedModel if the file is not listed, is missing or has another hash.
    """
    if file not in hashes:
        raise damaged_model(title, f"the manifest does not list '{file}'; it lists {_listing(hashes)}")
    data = read_model_file(folder, file, title=title)
    actual, expected = sha256(data), hashes[file]
    if actual != expected:
        raise damaged_model(
            title,
            f"'{file}' does not match the manifest: its SHA-256 is {actual[:12]}..., "
            f"the manifest states {expected[:12]}...",
        )
    return data


def verify_files(folder: Path, hashes: Mapping[str, str], *, ignored: str, title: str) -> None:
    """Check that a folder holds the listed files, unchanged, and no others except `ignored`.

    Raises DamagedModel for the first faulty file.
    """
    for file in sorted(hashes):
        read_verified(folder, file, hashes, title=title)
    unlisted = sorted(set(list_files(folder)) - set(hashes) - {ignored})
    if unlisted:
        raise DamagedModel(f"{title}: '{unlisted[0]}' is in {folder}, but the manifest does not list it")


def list_files(folder: Path) -> list[str]:
    """Return the relative POSIX path of every file in a version's folder, except its indexes."""
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if not path.is_dir()]
    return [file for file in files if not file.startswith(f"{INDEXES}/")]


def _unreadable(file: str, reason: str | None) -> str:
    return f"'{file}' cannot be read: {reason}"


def _listing(names: Mapping[str, str]) -> str:
    return ", ".join(sorted(names)) or "no files"
