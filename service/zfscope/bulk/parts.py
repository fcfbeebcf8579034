"""Outcomes of single photos on disk while a run is unfinished, each in files that are replaced atomically."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from zfscope.bulk.manifest import RunOrigin
from zfscope.bulk.work import PhotoOutcome
from zfscope.datasets import DataSet
from zfscope.errors import InputError
from zfscope.files import make_folder, replacing, write_file
from zfscope.results import Analysis, Cell
from zfscope.scan.manifest import differences
from zfscope.text import safe_name, safe_stem
from zfscope.validation import first_fault

# File that makes a folder of parts resumable, and the folder of outcomes and pictures.
ORIGIN, _PHOTOS = "origin.json", "photos"
_FILE = re.compile(r"(\d{6,})\.json")
# Position of width and height in a PNG file.
_PNG_SIZE = slice(16, 24)


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredTable(_Stored):
    """A table of an analysis."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class StoredPicture(_Stored):
    """A picture of an analysis. file: its name in the folder of pictures. width, height: in pixels."""

    name: str
    scale: str
    file: str
    width: int
    height: int


class StoredPhoto(_Stored):
    """Everything about a photo's outcome except the elements of tensors.

    photo: number of the photo. reason: why it has no analysis; empty if it has one. warnings: codes and
    messages. tensors: names, in the order of the arrays in the file.
    """

    photo: int
    reason: str = ""
    numbers: Mapping[str, float] = {}
    tables: Mapping[str, StoredTable] = {}
    warnings: tuple[tuple[str, str], ...] = ()
    pictures: tuple[StoredPicture, ...] = ()
    tensors: tuple[str, ...] = ()


class PartFolder:
    """The outcomes of a run so far, in the folder of unfinished results.

    done: numbers of the photos with an outcome.
    """

    def __init__(self, folder: Path, data: DataSet) -> None:
        self._folder, self._data = folder / _PHOTOS, data
        make_folder(self._folder)
        names = (path.name for path in self._folder.iterdir())
        self.done = {int(match[1]) for name in names if (match := _FILE.fullmatch(name))}

    def save(self, outcome: PhotoOutcome) -> None:
        """Write the outcome of a photo; the record, which makes it count, is last. Raises CannotWrite."""
        record = StoredPhoto(photo=outcome.photo, reason=outcome.reason)
        if analysis := outcome.analysis:
            record = self._record(outcome.photo, analysis)
            for stored, picture in zip(record.pictures, analysis.pictures, strict=True):
                write_file(self._folder / stored.file, picture.png)
            self._save_tensors(outcome.photo, analysis)
        write_file(self._file(outcome.photo, "json"), record.model_dump_json().encode())
        self.done.add(outcome.photo)

    def _save_tensors(self, photo: int, analysis: Analysis) -> None:
        arrays: dict[str, Any] = {str(number): each for number, each in enumerate(analysis.tensors.values())}
        if arrays:
            with replacing(self._file(photo, "npz")) as file:
                np.savez(file, **arrays)

    def records(self) -> Iterator[StoredPhoto]:
        """Yield the record of each photo, by number. Raises InputError for a damaged file."""
        for photo in sorted(self.done):
            path = self._file(photo, "json")
            try:
                yield StoredPhoto.model_validate_json(path.read_bytes())
            except (OSError, ValidationError) as error:
                reason = (
                    first_fault(error, StoredPhoto) if isinstance(error, ValidationError) else error.strerror
                )
                raise _damaged(path, str(reason)) from error

    def tensor(self, record: StoredPhoto, name: str) -> NDArray[Any]:
        """Return a tensor of a photo. Raises InputError for a damaged file."""
        path = self._file(record.photo, "npz")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                array: NDArray[Any] = arrays[str(record.tensors.index(name))]
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise _damaged(path, str(error)) from error
        return array

    def picture(self, stored: StoredPicture) -> Path:
        """Return the path of a picture."""
        return self._folder / stored.file

    def _record(self, photo: int, analysis: Analysis) -> StoredPhoto:
        stem = f"{photo:06}-{safe_stem(PurePosixPath(self._data.names[photo]).stem)}"
        names = unique_names([safe_name(picture.name) for picture in analysis.pictures])
        return StoredPhoto(
            photo=photo,
            numbers=analysis.numbers,
            tables={
                name: StoredTable(columns=table.columns, rows=table.rows)
                for name, table in analysis.tables.items()
            },
            warnings=tuple((notice.code, notice.message) for notice in analysis.warnings),
            pictures=tuple(
                _stored_picture(picture.name, picture.scale, f"{stem}-{name}.png", picture.png)
                for picture, name in zip(analysis.pictures, names, strict=True)
            ),
            tensors=tuple(analysis.tensors),
        )

    def _file(self, photo: int, suffix: str) -> Path:
        return self._folder / f"{photo:06}.{suffix}"


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"'{path}' cannot be read ({reason}); remove its folder to start again", field="out")


def open_parts(folder: Path, origin: RunOrigin, data: DataSet) -> PartFolder:
    """Open or create the parts of a run in a folder.

    Raises InputError if the folder has those of a run with other inputs.
    """
    path = folder / ORIGIN
    if not path.exists():
        write_file(path, origin.model_dump_json(indent=2).encode())
    elif differing := _differences(path, origin):
        raise InputError(
            f"'{folder}' holds an unfinished run that differs in {differing}; use the same options to resume "
            "it, choose another --out, or remove that folder",
            field="out",
        )
    return PartFolder(folder, data)


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names with numbers appended to those that occurred before: `a`, `a-2`."""
    seen = Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return unique


def _stored_picture(name: str, scale: str, file: str, png: bytes) -> StoredPicture:
    sides = png[_PNG_SIZE]
    width, height = int.from_bytes(sides[:4]), int.from_bytes(sides[4:])
    return StoredPicture(name=name, scale=scale, file=file, width=width, height=height)


def _differences(path: Path, origin: RunOrigin) -> str:
    try:
        return differences(RunOrigin.model_validate_json(path.read_bytes()), origin)
    except (OSError, ValidationError):
        return "its description, which cannot be read"
