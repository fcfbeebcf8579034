"""Photos that a text file lists."""

import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from zfscope.datasets.dataset import NOT_THERE, ListedFile, stamp_of
from zfscope.datasets.names import printable, quoted
from zfscope.errors import InputError
from zfscope.text import decode_text, encoding_of, is_comment

_SAMPLE = 4096


def listed_photos(path: Path) -> Mapping[str, ListedFile]:
    """List the photos that a text file names, a path a line, by that path; one named twice counts once.

    Paths are relative to the file's folder, or absolute; a TAB and the class may follow. Lines that
    begin with '# ' are comments; UTF-16 is known by its byte order mark. Raises InputError
    for a file that is not such text, names no existing photo, or gives one photo two classes.
    """
    photos: dict[str, ListedFile] = {}
    for name, label in _named(path):
        found = photos.setdefault(name, _listed(path.parent / name, label))
        if found.label != label:
            message = f"'{path}' lists {quoted(name)} twice, with class '{found.label}' and with '{label}'"
            raise InputError(message, field="data")
    if all(found.size == NOT_THERE for found in photos.values()):
        first = f", starting with '{next(iter(photos))}'" if photos else ""
        message = f"'{path}' lists {len(photos):,} photos of which none exists{first}; a line is a path"
        raise InputError(f"{message} relative to that file, and, after a TAB, its class", field="data")
    return photos


def _named(path: Path) -> Iterator[tuple[str, str]]:
    """Read the path and the class of each line that is neither blank nor a comment."""
    try:
        with path.open("rb") as raw:
            head = raw.read(_SAMPLE)
        if "\0" in decode_text(head, "ignore"):
            raise UnicodeError("it is binary, or UTF-16 without a byte order mark")
        with path.open(encoding=encoding_of(head)) as lines:
            for line in lines:
                name, _, label = line.partition("\t")
                if name.strip() and not is_comment(line):
                    yield os.path.normpath(name.strip()), label.strip()
    except (UnicodeError, OSError) as error:
        shown = printable(str(path))
        message = f"'{shown}' is neither a folder, nor a tar, nor a text file that lists photos: {error}"
        raise InputError(message, field="data") from error


def _listed(path: Path, label: str) -> ListedFile:
    """Return the size of a plain file, NOT_THERE if it does not exist."""
    try:
        status = path.stat()
    except (OSError, ValueError, RuntimeError):
        return ListedFile(label, NOT_THERE)
    if not stat.S_ISREG(status.st_mode):
        return ListedFile(label, NOT_THERE)
    return ListedFile(label, status.st_size, stamp=stamp_of(status, now_ns=time.time_ns()))
