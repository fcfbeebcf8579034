"""Listing of a store's folder: model names, versions, and unusable entries."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zfscope.errors import DamagedModel
from zfscope.store.manifest import MANIFEST, NAME_PATTERN

_VERSION_PATTERN = r"^[1-9][0-9]{0,8}$"


@dataclass(frozen=True)
class DamagedEntry:
    """An entry of the store that cannot be used as a model.

    version: 0 where it is unknown. reason: what is wrong and what to do.
    """

    name: str
    version: int
    reason: str


@dataclass(frozen=True)
class Survey:
    """The entries of a store's folder, as listed without reading any manifest.

    versions: versions of each model, ascending, by name. faults: entries that are not valid models.
    """

    versions: Mapping[str, list[int]] = field(default_factory=dict)
    faults: tuple[DamagedEntry, ...] = ()

    def fault(self, name: str, version: int | None) -> DamagedEntry | None:
        """Return the fault that explains why a version (None: any version) of a model was not found."""
        for fault in self.faults:
            if fault.name == name and (version is None or fault.version in (0, version)):
                return fault
        return None


def survey(root: Path) -> Survey:
    """List a store's folder. Raises DamagedModel if the folder cannot be listed."""
    try:
        folders = sorted(root.iterdir())
    except OSError as error:
        raise DamagedModel(
            f"the model store '{root}' cannot be listed: {error.strerror}; check its permissions"
        ) from error
    versions: dict[str, list[int]] = {}
    faults: list[DamagedEntry] = []
    for folder in folders:
        if not folder.name.startswith("."):
            numbers, wrong = _model(folder)
            faults += wrong
            if numbers:
                versions[folder.name] = numbers
    return Survey(versions, tuple(faults))


def _model(folder: Path) -> tuple[list[int], list[DamagedEntry]]:
    name = _printable(folder.name)
    try:
        children = sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except (
        FileNotFoundError,
        NotADirectoryError,
    ):  # a file in the store, or a folder removed in the meantime
        return [], []
    except OSError as error:
        reason = f"its folder cannot be listed: {error.strerror}; check its permissions"
        return [], [DamagedEntry(name, 0, reason)]
    if not re.fullmatch(NAME_PATTERN, folder.name):
        return [], _misnamed_model(name, children)
    numbers = [child for child in children if re.fullmatch(_VERSION_PATTERN, child.name)]
    faults = [*_files(name, numbers), *_misnamed_versions(name, set(children) - set(numbers))]
    return sorted(int(child.name) for child in numbers if not _is_file(child)), faults


def _misnamed_model(name: str, children: list[Path]) -> list[DamagedEntry]:
    if not any(_exists(child / MANIFEST) for child in children):
        return []
    allowed = "up to 64 lower-case letters, digits, '.', '_' and '-', starting with a letter or digit"
    return [DamagedEntry(name, 0, f"'{name}' is not a valid model name; rename the folder: {allowed}")]


def _files(name: str, numbers: list[Path]) -> Iterator[DamagedEntry]:
    for child in numbers:
        if _is_file(child):
            reason = f"'{child.name}' is a file, but a version's folder is expected; remove it"
            yield DamagedEntry(name, int(child.name), reason)


def _misnamed_versions(name: str, others: set[Path]) -> Iterator[DamagedEntry]:
    for child in sorted(others):
        if _exists(child / MANIFEST):
            allowed = "a number from 1 to 999999999 without leading zeros"
            reason = f"'{_printable(child.name)}' is not a valid version; rename the folder: {allowed}"
            yield DamagedEntry(name, 0, reason)


def is_gone(path: Path) -> bool:
    """Return whether nothing exists at a path, not even an unreadable entry."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


# Path.exists() and Path.is_file() raise if a parent folder may not be searched.
def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _printable(name: str) -> str:
    """Return a file's name as Unicode text, with bytes that are not UTF-8 escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
