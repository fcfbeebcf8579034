"""Reading of text and Parquet files that list photos."""

import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from zfscope.datasets.dataset import MISSING, ListedFile, file_stamp
from zfscope.datasets.names import as_unicode, quoted
from zfscope.datasets.parquet_list import PARQUET_FORMAT, is_parquet, read_parquet_rows
from zfscope.errors import InputError
from zfscope.text import BYTE_ORDER_MARK, decode_text, encoding_of, is_comment

# Number of bytes from which the encoding is detected.
_SAMPLE = 4096
_FORMAT = "a line is a path relative to the list, optionally followed by a TAB and the class"
# Names of a table's first column, by which a header line is recognised.
_HEADERS = frozenset({"file", "file_name", "filename", "filepath", "image", "name", "path", "photo"})


def read_photo_list(path: Path) -> Mapping[str, ListedFile]:
    """Return the photos listed in a text or Parquet file, by path; duplicates count once.

    Each line of a text is a path, relative to the file's folder or absolute, optionally followed by a TAB and
    the class. Lines that start with '# ' are comments. The encoding is UTF-8, or UTF-16 with a byte order
    mark. A Parquet file has a column `path` and optionally a column `class`.

    Raises InputError if the file is neither, if none of its photos exists, if a photo has two classes, and
    for lines with more columns and header lines.
    """
    photos: dict[str, ListedFile] = {}
    rows, form = (
        (read_parquet_rows(path), PARQUET_FORMAT) if is_parquet(path) else (_read_lines(path), _FORMAT)
    )
    for name, label in rows:
        photo = photos.setdefault(name, _list_file(path.parent / name, label))
        if photo.label != label:
            message = f"'{path}' lists {quoted(name)} with two classes, '{photo.label}' and '{label}'"
            raise InputError(message, field="data")
    if all(photo.size == MISSING for photo in photos.values()):
        name = next(iter(photos), "")
        is_folder = name and (path.parent / name).is_dir()
        first = f"the first is {'the folder ' if is_folder else ''}{quoted(name)}"
        number = "1 photo" if len(photos) == 1 else f"{len(photos):,} photos"
        listed = f"{number}, none of which exists; {first}" if photos else "no photos"
        raise InputError(f"'{path}' lists {listed}; {form}", field="data")
    return photos


def _read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the path and class of each line, without blank lines and comments."""
    try:
        with path.open("rb") as raw:
            head = raw.read(_SAMPLE)
        if "\0" in decode_text(head, "ignore"):
            raise UnicodeError("it is binary, or UTF-16 without a byte order mark")
        with path.open(encoding=encoding_of(head)) as lines:
            for number, raw_line in enumerate(lines, 1):
                line = raw_line.removeprefix(BYTE_ORDER_MARK)  # within concatenated files
                name, *rest = (column.strip() for column in line.rstrip().split("\t"))
                if name and not is_comment(line):
                    _check_columns(path, number, name, rest)
                    yield os.path.normpath(name), "".join(rest)
    except (UnicodeError, OSError) as error:
        shown = as_unicode(str(path))
        message = f"'{shown}' is not a folder, a tar, or a text or Parquet file that lists photos: {error}"
        raise InputError(message, field="data") from error


def _check_columns(path: Path, number: int, name: str, rest: list[str]) -> None:
    """Raise InputError for a line with more than two columns and for a header line."""
    if len(rest) > 1:
        fault = f"has {1 + len(rest)} columns"
    elif _is_header(name) and not (path.parent / name).exists():
        fault = "is a header line"
    else:
        return
    raise InputError(f"line {number:,} of {quoted(str(path))} {fault}; {_FORMAT}", field="data")


def _is_header(name: str) -> bool:
    return name.partition(",")[0].strip("\"' ").lower() in _HEADERS


def _list_file(path: Path, label: str) -> ListedFile:
    """Return a listed photo; its size is MISSING unless it is a regular file."""
    try:
        status = path.stat()
    except (OSError, ValueError, RuntimeError):
        return ListedFile(label, MISSING)
    if not stat.S_ISREG(status.st_mode):
        return ListedFile(label, MISSING)
    return ListedFile(label, status.st_size, stamp=file_stamp(status, now_ns=time.time_ns()))
