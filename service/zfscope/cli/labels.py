"""Reader for files of class names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from zfscope.errors import InputError
from zfscope.text import BYTE_ORDER_MARK, decode_text, is_comment

# Separators of CSV, JSON and Python; an id that contains one must be followed by a TAB.
_SEPARATORS = re.compile("[,;:\"']")


def read_labels(path: Path) -> dict[str, str]:
    """Read class names, keyed by class id (folder), from lines of `id`, a TAB or spaces, and `name`.

    An id followed by a TAB may contain spaces. Comments start with '# '. The encoding is UTF-8, or UTF-16
    with a byte order mark. Raises InputError for other formats such as JSON or CSV, for a repeated class, and
    for a third column.
    """
    names, lines = dict[str, str](), dict[str, int]()
    for number, folder, name in _named(path):
        if folder in names:
            message = f"labels '{path}': class '{folder}' appears in lines {lines[folder]} and {number}"
            raise InputError(f"{message}; remove one of them", field="labels")
        names[folder], lines[folder] = name, number
    if not names:
        raise InputError(f"labels '{path}' is empty; expected lines like: n01440764 tench", field="labels")
    return names


def read_class_names(path: Path) -> dict[str, str]:
    """Read class names, keyed by class id, from a file with ids as for `read_labels`, or with names only.

    A file has ids if a line contains a TAB, or if the first word of every line contains a digit and more
    words follow. Without ids, the names are the ids; if a name appears twice, the class numbers are. Raises
    InputError like `read_labels`.
    """
    names = [line.strip() for _, line in _lines(path)]
    if not names or _have_ids(names):
        return read_labels(path)
    if len(set(names)) == len(names):
        return {name: name for name in names}
    return {str(number): name for number, name in enumerate(names)}


def check_order(path: Path, names: Mapping[str, str]) -> str:
    """Return a warning if numeric ids are out of order; empty otherwise.

    Raises InputError if the ids are exactly the class numbers, starting at 0 or 1, in the wrong order: a file
    sorted as text (0, 1, 10, 2) would assign names to the wrong classes. As folders with such names do get
    their classes in text order, the intended order cannot be determined.
    """
    ids = [int(each) if each.isdecimal() else -1 for each in names]
    wrong = next((number for number, (one, other) in enumerate(pairwise(ids), 1) if other < one), None)
    if wrong is None:
        return ""
    if sorted(ids) not in (list(range(len(ids))), list(range(1, len(ids) + 1))):
        order = "numeric ids are not in ascending order; the order of the lines is used as score order"
        return "" if -1 in ids else f"labels '{path}': {order}"
    line = f"id '{list(names)[wrong]}' follows '{list(names)[wrong - 1]}'"
    raise InputError(
        f"labels '{path}': {line}, but lines must be in score order; sort them numerically (sort -n). If the "
        "order is right and the ids are not class numbers, write them as 'class-10'",
        field="labels",
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is neither blank nor a comment."""
    for number, marked in enumerate(_text(path).split("\n"), 1):
        line = marked.removeprefix(BYTE_ORDER_MARK)
        if line.strip() and not is_comment(line):
            yield number, line


def _have_ids(lines: Sequence[str]) -> bool:
    """Return whether lines begin with class ids; also for JSON and CSV, which `read_labels` rejects."""
    if any("\t" in line for line in lines) or lines[0].startswith(("{", "[")):
        return True
    words = [line.split(maxsplit=1) for line in lines]
    continued = any(len(parts) > 1 or _SEPARATORS.search(parts[0]) for parts in words)
    return continued and all(re.search(r"\d", parts[0]) for parts in words)


def _named(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield number, id and name of each line."""
    for number, line in _lines(path):
        folder, tab, name = line.partition("\t")
        ends_with_tab = bool(tab and folder.strip())
        if not ends_with_tab:
            folder, name = [*line.split(maxsplit=1), ""][:2]
        folder, name = folder.strip(), name.strip()
        if fault := _fault(folder, name, ends_with_tab=ends_with_tab):
            raise InputError(f"labels '{path}', line {number}: {fault}", field="labels")
        yield number, folder, name


def _fault(folder: str, name: str, *, ends_with_tab: bool) -> str:
    """Return the error of a line, empty if it is valid."""
    separator = None if ends_with_tab else _SEPARATORS.search(folder)
    if not ends_with_tab and folder.startswith(("{", "[")) and (separator or not name):
        return "the file looks like JSON; write one line per class: n01440764 tench"
    if not name:
        return f"'{folder}' has no name; expected: n01440764 tench, separated by spaces or a TAB"
    if separator:
        message = f"'{folder}' contains {separator[0]!r}; expected: n01440764 tench"
        return f"{message}; put a TAB after an id with that character"
    columns = 1 + len(name.split("\t"))
    return "" if columns == 2 else f"'{folder}' has {columns} columns; expected two: n01440764, a TAB, tench"


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        text = decode_text(data)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{error}; save it as UTF-8"
        raise InputError(f"labels '{path}' cannot be read: {reason}", field="labels") from error
    if "\0" in text:
        message = f"labels '{path}' is not text: it is binary, or UTF-16 without a byte order mark"
        raise InputError(f"{message}; save it as UTF-8", field="labels")
    return text.replace("\r\n", "\n").replace("\r", "\n")
