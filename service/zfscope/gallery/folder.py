"""Folder of a gallery, identified by its `gallery.json`; files are written atomically."""

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from zfscope.errors import CannotWrite, InputError
from zfscope.files import exclusive_folder, make_folder, write_file
from zfscope.gallery.facts import BatchFacts, Gallery, UnfinishedGallery
from zfscope.leftovers import PARTIAL

GALLERY_FILE = "gallery.json"
Fact = TypeVar("Fact", Gallery, UnfinishedGallery, BatchFacts)
_STATE = ".unfinished"
_STARTED = "started.json"
# Files of a gallery in the folder of a layer.
_LAYER_FILE = re.compile(r"index\.html|\d+(\.html|-(projections|patches|evolution)\.(png|jpg))")


class GalleryFolder:
    """Folder of a gallery under construction; facts are kept in `.unfinished` until it is complete."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._state = root / _STATE

    def write(self, name: str, data: bytes) -> None:
        """Write a file such as `conv5/42.html` atomically."""
        _replace(self.root / name, data)

    def read_batch(self, name: str) -> BatchFacts | None:
        """Return the stored facts of a batch of maps; None if there are none."""
        return _read(BatchFacts, self._state / f"{name}.json")

    def store_batch(self, name: str, facts: BatchFacts) -> None:
        """Store the facts of a batch of maps; its pictures must have been written."""
        _replace(self._state / f"{name}.json", facts.model_dump_json().encode())

    def start(self, wanted: UnfinishedGallery) -> None:
        """Resume an unfinished gallery with the same identity; otherwise, discard the stored facts.

        The layers of earlier galleries in this folder are stored too, so that `finish` can remove their
        files.
        """
        started = _read(UnfinishedGallery, self._state / _STARTED)
        if started is not None and started.identity == wanted.identity:
            return
        stale = set(started.layers if started else ()) | set(self._finished_layers())
        self._clear_state()
        layers = tuple(sorted({*wanted.layers, *stale}))
        data = wanted.model_copy(update={"layers": layers}).model_dump_json().encode()
        _replace(self._state / _STARTED, data)

    def finish(self, gallery: Gallery, files: Collection[str]) -> None:
        """Write `gallery.json`, and remove the files of earlier galleries except `files`."""
        started = _read(UnfinishedGallery, self._state / _STARTED)
        layers = {*(started.layers if started else ()), *self._finished_layers()}
        self.write(GALLERY_FILE, (gallery.model_dump_json(indent=2) + "\n").encode())
        for layer in layers:
            keep = {Path(file).name for file in files if file.startswith(f"{layer}/")}
            _remove_stale_files(self.root / layer, keep=keep)
        self._clear_state()

    def _clear_state(self) -> None:
        """Remove the stored facts, but not the lock: some systems cannot remove a locked file."""
        for path in self._state.glob("*.json"):
            path.unlink()

    def _finished_layers(self) -> Collection[str]:
        gallery = _read(Gallery, self.root / GALLERY_FILE)
        return gallery.layers if gallery else ()


@contextmanager
def open_gallery_folder(root: Path) -> Iterator[GalleryFolder]:
    """Open the folder of a gallery, create it if necessary, and lock it for this process.

    Raises InputError if the folder has other contents, which are not touched, if another process uses it, or
    if it is not writable.
    """
    _check(root)
    busy = InputError(f"gallery '{root}' is being written by another process", field="out")

    def unwritable(error: CannotWrite) -> InputError:
        message = f"gallery '{root}' cannot be written: {error.reason}; choose another --out"
        return InputError(message, field="out")

    with exclusive_folder(root / _STATE, busy=busy, unwritable=unwritable, tidy=_tidy):
        yield GalleryFolder(root)


def _tidy(state: Path) -> None:
    """Remove the folder of stored facts unless a later run can resume from them."""
    if not (state / _STARTED).exists():
        shutil.rmtree(state, ignore_errors=True)


def _check(root: Path) -> None:
    """Raise InputError unless the folder is missing, empty, or a finished or unfinished gallery."""
    if not os.path.lexists(root):
        return
    if not root.is_dir():
        raise InputError(f"'{root}' is not a folder; choose another --out", field="out")
    existing = _read(Gallery, root / GALLERY_FILE) or _read(UnfinishedGallery, root / _STATE / _STARTED)
    if existing is None and any(path.name != _STATE for path in root.iterdir()):
        message = f"'{root}' has other contents than a gallery; choose a new or empty folder with --out"
        raise InputError(message, field="out")


def _read(kind: type[Fact], path: Path) -> Fact | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _replace(path: Path, data: bytes) -> None:
    make_folder(path.parent)
    write_file(path, data)


def _remove_stale_files(folder: Path, *, keep: Collection[str]) -> None:
    """Remove the files of a layer except `keep`, and the folder if it is empty afterwards."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.startswith(PARTIAL) or (_LAYER_FILE.fullmatch(path.name) and path.name not in keep):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()
