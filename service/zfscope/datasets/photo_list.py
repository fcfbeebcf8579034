"""Photos that a text file lists."""

import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from zfscope.datasets.dataset import NOT_THERE, ListedFile, stamp_of
from zfscope.datasets.names import printable, quoted
from zfscope.errors import InputError
from zfscope.text import BYTE_ORDER_MARK, decode_text, encoding_of, is_comment

_SAMPLE = 4096
# First fields of the line of headings with which tables begin.
_HEADINGS = frozenset({"file", "file_name", "filename", "filepath", "image", "name", "path", "photo"})


def listed_photos(path: Path) -> Mapping[str, ListedFile]:
    """List the photos that a text file names, a path a line, by that path; one named twice counts once.

    Paths are relative to the file's folder, or absolute; a TAB and the class may follow. Lines that
    begin with '# ' are comments; UTF-16 is known by its byte order mark. Raises InputError
    for a file that is not such text, names no existing photo, or gives one photo two classes, and for
    lines of more columns or of headings.
    """
    photos: dict[str, ListedFile] = {}
    for name, label in _named(path):
        found = photos.setdefault(name, _listed(path.parent / name, label))
        if found.label != label:
            message = f"'{path}' lists {quoted(name)} twice, with class '{found.label}' and with '{label}'"
            raise InputError(message, field="data")
    if all(found.size == NOT_THERE for found in photos.values()):
        name = next(iter(photos), "")
        is_folder = name and (path.parent / name).is_dir()
        first = f", starting with {'the folder ' if is_folder else ''}{quoted(name)}" if photos else ""
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
            for number, marked in enumerate(lines, 1):
                line = marked.removeprefix(BYTE_ORDER_MARK)  # of a file that was joined to others
                name, *rest = (column.strip() for column in line.rstrip().split("\t"))
                if name and not is_comment(line):
                    _check_columns(path, number, name, rest)
                    yield os.path.normpath(name), "".join(rest)
    except (UnicodeError, OSError) as error:
        shown = printable(str(path))
        message = f"'{shown}' is neither a folder, nor a tar, nor a text file that lists photos: {error}"
        raise InputError(message, field="data") from error


def _check_columns(path: Path, number: int, name: str, rest: list[str]) -> None:
    """Raise InputError for a line of more than a path and a class, and for one of headings."""
    if len(rest) > 1:
        fault = f"has {1 + len(rest)} columns"
    elif _is_heading(name) and not (path.parent / name).exists():
        fault = "has headings and no photo"
    else:
        return
    allowed = "a line is a path and, after a TAB, its class"
    raise InputError(f"line {number:,} of {quoted(str(path))} {fault}; {allowed}", field="data")


def _is_heading(name: str) -> bool:
    return name.partition(",")[0].strip("\"' ").lower() in _HEADINGS


def _listed(path: Path, label: str) -> ListedFile:
    """Return the size of a plain file, NOT_THERE if it does not exist."""
    try:
        status = path.stat()
    except (OSError, ValueError, RuntimeError):
        return ListedFile(label, NOT_THERE)
    if not stat.S_ISREG(status.st_mode):
        return ListedFile(label, NOT_THERE)
    return ListedFile(label, status.st_size, stamp=stamp_of(status, now_ns=time.time_ns()))
