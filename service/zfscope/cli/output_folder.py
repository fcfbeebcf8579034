"""The folder that a command writes its results to: no two results are mixed in it.

The names of files begin with what they are about: the photo's, as in `china-conv5.png`, or the layer's, as in
`conv5-top-k.png`. Another photo of the same name gets a number: `china-2-conv5.png`. Results of another model
than the first one's have its name too: `china-alexnet-v1-conv5.png`. A hidden list in the
folder says which files a command wrote there, from what: when one of them is written again, the others
of that earlier result are removed, and no other file is.
"""

import hashlib
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from zfscope.errors import CannotWrite
from zfscope.files import folder_for_files, locked, staging_folder, write_file, writing
from zfscope.validation import first_fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEDGER, LOCK = ".zfscope.json", ".zfscope.lock"
# Names of files are at most 255 bytes on most systems; a letter may take four.
_LONGEST_STEM = 40
_LONGEST_MODELS = 60


@dataclass(frozen=True)
class Subject:
    """What results are about: `stem` begins the names of their files, `source` distinguishes subjects.

    models: those that gave the results, each as `model_id` returns it.
    """

    stem: str
    source: tuple[str, ...]
    models: tuple[str, ...] = ()


class _Result(BaseModel):
    """An earlier result. prefix: how its files begin, '' for names of their own. files: SHA-256 by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str
    source: tuple[str, ...]
    models: tuple[str, ...] = ()
    files: Mapping[str, str]


class _Ledger(BaseModel):
    """All results in a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    results: tuple[_Result, ...] = ()


class OutputFolder:
    """A folder that results are written to; made by `open_output`."""

    def __init__(self, root: Path, staging: Path) -> None:
        self.root = root
        self._staging = staging

    def write(self, subject: Subject, contents: Mapping[str, bytes]) -> dict[str, Path]:
        """Write the files of a result, all of them or none; return their paths by the names in `contents`.

        A subject with an empty stem has names without a prefix. Files of the earlier results that are
        replaced, wholly or in part, are removed. Raises CannotWrite.
        """
        for name, data in contents.items():
            write_file(self._staging / name, data)
        with writing(self.root), locked(self.root / LOCK, otherwise=None):
            return self._publish(subject, tuple(contents))

    def _publish(self, subject: Subject, names: Sequence[str]) -> dict[str, Path]:
        known = _read(self.root / LEDGER)
        prefix = _prefix(subject, known)
        files = {name: f"{prefix}-{name}" if prefix else name for name in names}
        digests = {file: _digest(self._staging / name) for name, file in files.items()}
        result = _Result(prefix=prefix, source=subject.source, models=subject.models, files=digests)
        replaced = [each for each in known.results if _folded(each.files) & _folded(result.files)]
        kept = tuple(each for each in known.results if each not in replaced)
        # Whatever happens from here on, all files are in the list, and the next run removes what is stale.
        _save(self.root / LEDGER, _Ledger(results=(*known.results, result)))
        for each in replaced:
            for file, digest in each.files.items():
                if _digest(self.root / file) == digest:  # a file that somebody changed is no longer ours
                    (self.root / file).unlink()
        for name, file in files.items():
            (self._staging / name).replace(self.root / file)
        _save(self.root / LEDGER, _Ledger(results=(*kept, result)))
        return {name: self.root / file for name, file in files.items()}


@contextmanager
def open_output(root: Path) -> Iterator[OutputFolder]:
    """Open a folder for results before they are computed, so that a folder that cannot be written is known.

    Folders that do not exist are created, and removed again where nothing was written. Raises CannotWrite,
    also where the list of earlier results cannot be read.
    """
    with folder_for_files(root):
        _read(root / LEDGER)
        with staging_folder(root) as staging:
            yield OutputFolder(root, staging)


def about_photos(paths: Sequence[Path], photos: Sequence[bytes]) -> Subject | None:
    """Return photos as the subject of a result, named by the first; None for none. `-` is standard input."""
    if not paths:
        return None
    sources = [_source(path, photo) for path, photo in zip(paths, photos, strict=True)]
    return replace(about_photo(paths[0], photos[0]), source=tuple(sources))


def about_photo(path: Path, photo: bytes, *, models: tuple[str, ...] = ()) -> Subject:
    """Return a photo as the subject of a result of some models."""
    stem = "stdin" if str(path) == "-" else path.stem
    return Subject(file_stem(stem), (_source(path, photo),), models)


def model_id(model: str, version: int) -> str:
    """Return a model's name and version as part of a name of a file."""
    return f"{model}-v{version}"


def about_layer(layer: str) -> Subject:
    """Return a layer as the subject of a result."""
    return Subject(file_stem(layer), ("layer", layer))


def file_stem(name: str, longest: int = _LONGEST_STEM) -> str:
    """Return a name that cannot lead out of a folder and that any file system takes; letters stay."""
    letters = re.sub(r"[^\w-]", "_", unicodedata.normalize("NFC", name))
    return letters[:longest].lstrip("-") or "_"


def plain(name: str) -> str:
    """Return a name, which a service may have sent, as one that cannot lead out of a folder."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def npy(array: "NDArray[Any]") -> bytes:
    """Return an array as the contents of a .npy file."""
    import numpy as np

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _source(path: Path, photo: bytes) -> str:
    """Return what distinguishes a photo from another of its name: its path, or without a file its hash."""
    if str(path) == "-":
        return f"sha256:{hashlib.sha256(photo).hexdigest()}"
    return ascii(str(path.absolute().resolve()))[1:-1]  # names need not be UTF-8, and JSON is


def _prefix(subject: Subject, known: _Ledger) -> str:
    """Return how the names of a subject's files begin: its stem, numbered where another subject has it.

    Where other models have results about the same, the names of the subject's models follow.
    """
    taken = {_fold(each.prefix): (each.source, each.models) for each in known.results}
    own = subject.source, subject.models
    models = file_stem("-".join(subject.models), _LONGEST_MODELS)
    numbers = count(1)
    while True:
        number = next(numbers)
        name = "-".join(filter(None, (subject.stem, str(number) if number > 1 else "")))
        source, _ = found = taken.get(_fold(name), own)
        if found == own:
            return name
        with_models = "-".join(filter(None, (name, models)))
        if source == subject.source and taken.get(_fold(with_models), own) == own:
            return with_models


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; '' if it does not exist."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _folded(files: Iterable[str]) -> set[str]:
    return {_fold(file) for file in files}


def _fold(name: str) -> str:
    """Return a name such that names which some file systems hold for equal are equal."""
    return unicodedata.normalize("NFC", name).casefold()


def _read(path: Path) -> _Ledger:
    """Read the list of a folder; a folder without one, or with a damaged one, has no known results."""
    try:
        return _Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _Ledger()
    except ValidationError as error:
        reason = first_fault(error, _Ledger)
        raise CannotWrite(
            f"'{path}' is damaged ({reason}): which results are in the folder is not known; remove it, or "
            "write to another folder"
        ) from error


def _save(path: Path, ledger: _Ledger) -> None:
    write_file(path, ledger.model_dump_json(indent=1).encode())
