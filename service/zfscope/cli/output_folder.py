"""Output folder of a command, which never mixes the files of different results.

File names start with their subject: the photo, as in `china-conv5.png`, or the layer, as in
`conv5-top-k.png`. A different photo with the same name gets a number: `china-2-conv5.png`. Results of a
second model also contain its name: `china-alexnet-v1-conv5.png`. A hidden ledger in the folder lists the
files written by earlier commands and their sources: when one of the files is overwritten, the other files of
the same earlier result are removed, and no others.
"""

import hashlib
import io
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
from zfscope.text import safe_name, safe_stem
from zfscope.validation import first_fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEDGER, LOCK = ".zfscope.json", ".zfscope.lock"
_MAX_MODELS = 60


@dataclass(frozen=True)
class Subject:
    """Subject of a result: a photo, several photos or a layer.

    stem: start of the file names. source: identifies the subject. models: models that produced the result,
    each as returned by `model_id`.
    """

    stem: str
    source: tuple[str, ...]
    models: tuple[str, ...] = ()


class _Result(BaseModel):
    """Earlier result. prefix: start of its file names, may be empty. files: file name to SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str
    source: tuple[str, ...]
    models: tuple[str, ...] = ()
    files: Mapping[str, str]


class _Ledger(BaseModel):
    """List of all results in a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    results: tuple[_Result, ...] = ()


class OutputFolder:
    """Folder that results are written to; created by `open_output`."""

    def __init__(self, root: Path, staging: Path) -> None:
        self.root = root
        self._staging = staging

    def write(self, subject: Subject, contents: Mapping[str, bytes]) -> dict[str, Path]:
        """Write all files of a result, or none; return their paths, keyed like `contents`.

        For a subject with an empty stem, file names have no prefix. If a file of an earlier result is
        overwritten, that result's other files are removed. Raises CannotWrite.
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
        # The ledger lists old and new files before any is touched: after a crash, the next run cleans up.
        _save(self.root / LEDGER, _Ledger(results=(*known.results, result)))
        for each in replaced:
            for file, digest in each.files.items():
                if _digest(self.root / file) == digest:  # keep files that the user has modified
                    (self.root / file).unlink()
        for name, file in files.items():
            (self._staging / name).replace(self.root / file)
        _save(self.root / LEDGER, _Ledger(results=(*kept, result)))
        return {name: self.root / file for name, file in files.items()}


@contextmanager
def open_output(root: Path) -> Iterator[OutputFolder]:
    """Open a folder for results before they are computed, to detect early that it is not writable.

    Missing folders are created, and removed again if nothing was written. Raises CannotWrite, also if the
    ledger of earlier results is damaged.
    """
    with folder_for_files(root):
        _read(root / LEDGER)
        with staging_folder(root) as staging:
            yield OutputFolder(root, staging)


def photos_subject(paths: Sequence[Path], photos: Sequence[bytes]) -> Subject | None:
    """Return the subject of a result for photos, named after the first; None without photos.

    A path of `-` is standard input.
    """
    if not paths:
        return None
    sources = [_source(path, photo) for path, photo in zip(paths, photos, strict=True)]
    return replace(photo_subject(paths[0], photos[0]), source=tuple(sources))


def photo_subject(path: Path, photo: bytes, *, models: tuple[str, ...] = ()) -> Subject:
    """Return the subject of a result for a photo and models."""
    stem = "stdin" if str(path) == "-" else path.stem
    return Subject(safe_stem(stem), (_source(path, photo),), models)


def model_id(model: str, version: int) -> str:
    """Return a model's name and version in the form used in file names."""
    return f"{model}-v{version}"


def layer_subject(layer: str) -> Subject:
    """Return the subject of a result for a layer."""
    return Subject(safe_stem(layer), ("layer", layer))


def picture_file(name: str) -> str:
    """Return the file name of a picture."""
    return f"{safe_name(name)}.png"


def written_path(written: Mapping[str, Path], name: str | None) -> str | None:
    """Return the path of a file as text, None if it was not written. name: name in the contents, or None."""
    path = written.get(name) if name else None
    return str(path) if path else None


def npy(array: "NDArray[Any]") -> bytes:
    """Encode an array as a .npy file."""
    import numpy as np

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _source(path: Path, photo: bytes) -> str:
    """Return what distinguishes a photo from others with the same name: its path, or its hash for stdin."""
    if str(path) == "-":
        return f"sha256:{hashlib.sha256(photo).hexdigest()}"
    return ascii(str(path.absolute().resolve()))[1:-1]  # paths may not be valid UTF-8, which JSON requires


def _prefix(subject: Subject, known: _Ledger) -> str:
    """Return the start of a subject's file names: its stem, numbered if another subject uses it.

    If other models already have results for the same source, the names of the subject's models are appended.
    """
    taken = {_fold(each.prefix): (each.source, each.models) for each in known.results}
    own = subject.source, subject.models
    models = safe_stem("-".join(subject.models), _MAX_MODELS)
    numbers = count(1)
    while True:
        number = next(numbers)
        name = "-".join(filter(None, (subject.stem, str(number) if number > 1 else "")))
        source, _ = owner = taken.get(_fold(name), own)
        if owner == own:
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
    """Normalise a name so that names which some file systems treat as equal compare equal."""
    return unicodedata.normalize("NFC", name).casefold()


def _read(path: Path) -> _Ledger:
    """Read the ledger of a folder; a missing one is empty. Raises CannotWrite if it is damaged."""
    try:
        return _Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _Ledger()
    except ValidationError as error:
        reason = first_fault(error, _Ledger)
        raise CannotWrite(
            f"'{path}' is damaged ({reason}), so earlier results in the folder are unknown; remove the file "
            "or write to another folder"
        ) from error


def _save(path: Path, ledger: _Ledger) -> None:
    write_file(path, ledger.model_dump_json(indent=1).encode())
