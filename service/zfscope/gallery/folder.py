"""The folder of a gallery: known by its `gallery.json`, each file written all or nothing."""

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
from zfscope.gallery.facts import Gallery, Part, Unfinished
from zfscope.leftovers import PARTIAL

GALLERY = "gallery.json"
Kind = TypeVar("Kind", Gallery, Unfinished, Part)
_STATE = ".unfinished"
_STARTED = "started.json"
_OWN = re.compile(r"index\.html|\d+(\.html|-(projections|patches|evolution)\.(png|jpg))")
"""The files in the folder of a layer."""


class Folder:
    """A gallery that is being made: what was found stays in `.unfinished` until all of it is there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._state = root / _STATE

    def write(self, name: str, data: bytes) -> None:
        """Write a file, `conv5/42.html`: it is there whole, or as it was before."""
        _replace(self.root / name, data)

    def part(self, name: str) -> Part | None:
        """Return what was found of a part of the maps before, None where it was not looked at."""
        return _read(Part, self._state / f"{name}.json")

    def keep(self, name: str, part: Part) -> None:
        """Keep what was found of a part of the maps; its pictures have been written."""
        _replace(self._state / f"{name}.json", part.model_dump_json().encode())

    def begin(self, wanted: Unfinished) -> None:
        """Go on with what was begun, if it is the same; else begin again.

        It is remembered which layers have a folder, of those that were begun before too.
        """
        begun = _read(Unfinished, self._state / _STARTED)
        if begun is not None and begun.identity == wanted.identity:
            return
        stale = set(begun.layers if begun else ()) | set(self._layers())
        self._forget()
        layers = tuple(sorted({*wanted.layers, *stale}))
        _replace(
            self._state / _STARTED, wanted.model_copy(update={"layers": layers}).model_dump_json().encode()
        )

    def finish(self, gallery: Gallery, files: Collection[str]) -> None:
        """Write `gallery.json`, and remove what an earlier gallery left there, all but `files`."""
        begun = _read(Unfinished, self._state / _STARTED)
        layers = {*(begun.layers if begun else ()), *self._layers()}
        self.write(GALLERY, (gallery.model_dump_json(indent=2) + "\n").encode())
        for layer in layers:
            _clear(
                self.root / layer, keep={Path(file).name for file in files if file.startswith(f"{layer}/")}
            )
        self._forget()

    def _forget(self) -> None:
        """Remove what was found so far; not all systems remove the lock while it is held."""
        for path in self._state.glob("*.json"):
            path.unlink()

    def _layers(self) -> Collection[str]:
        there = _read(Gallery, self.root / GALLERY)
        return there.layers if there else ()


@contextmanager
def open_folder(root: Path) -> Iterator[Folder]:
    """Open the directory of a gallery, create it if necessary, and lock it for this process.

    Raises InputError for a folder with other things in it, which is left as it is, for one that another
    process writes to, and where it cannot be written to.
    """
    _check(root)
    busy = InputError(f"another process is making the gallery '{root}' right now", field="out")

    def unwritable(error: CannotWrite) -> InputError:
        message = f"the gallery cannot be written to '{root}': {error.reason}; name another --out"
        return InputError(message, field="out")

    with exclusive_folder(root / _STATE, busy=busy, unwritable=unwritable, tidy=_tidy):
        yield Folder(root)


def _tidy(state: Path) -> None:
    """Remove the folder of what was found, unless a second run continues from it."""
    if not (state / _STARTED).exists():
        shutil.rmtree(state, ignore_errors=True)


def _check(root: Path) -> None:
    """Raise InputError unless a gallery may be written there: it is none, or one already."""
    if not os.path.lexists(root):
        return
    if not root.is_dir():
        raise InputError(f"'{root}' is not a directory; choose another --out", field="out")
    ours = _read(Gallery, root / GALLERY) or _read(Unfinished, root / _STATE / _STARTED)
    if ours is None and any(path.name != _STATE for path in root.iterdir()):
        message = (
            f"'{root}' holds other things than a gallery; name a new folder, or an empty one, with --out"
        )
        raise InputError(message, field="out")


def _read(kind: type[Kind], path: Path) -> Kind | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _replace(path: Path, data: bytes) -> None:
    make_folder(path.parent)
    write_file(path, data)


def _clear(folder: Path, *, keep: Collection[str]) -> None:
    """Remove the files of maps that are not there any more, and the folder, if nothing else is in it."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.startswith(PARTIAL) or (_OWN.fullmatch(path.name) and path.name not in keep):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()
