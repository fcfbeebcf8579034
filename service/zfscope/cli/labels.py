"""The names of classes, from a file."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from zfscope.errors import InputError
from zfscope.text import BYTE_ORDER_MARK, decode_text, is_comment

# What separates columns of CSV, JSON and Python; ids that have one end with a TAB.
_SEPARATORS = re.compile("[,;:\"']")


def read_labels(path: Path) -> dict[str, str]:
    """Read names of classes, a line each: the folder, a TAB or spaces, the name. Comments begin with '# '.

    Where a line has a TAB, it ends the folder, which may have spaces then. Raises InputError for a file that
    is not such text in UTF-8, or in UTF-16 with its byte order mark, such as JSON or CSV, for a class that is
    named twice, and for a third column.
    """
    names, lines = dict[str, str](), dict[str, int]()
    for number, folder, name in _named(path):
        if folder in names:
            message = f"labels '{path}': class '{folder}' is named in lines {lines[folder]} and {number}"
            raise InputError(f"{message}; leave one of them", field="labels")
        names[folder], lines[folder] = name, number
    if not names:
        raise InputError(f"labels '{path}' is empty; a line is: n01440764 tench", field="labels")
    return names


def check_order(path: Path, names: Mapping[str, str]) -> str:
    """Return a warning about other ids that are numbers out of order, empty where there are none.

    Raise InputError for ids that are all numbers of classes, from 0 or 1 on, but not in their order.

    Lines of a file that was sorted as text, 0, 1, 10, 2, would name other classes than they state. Folders
    with such names are classes in just that order, so the right order is not known.
    """
    ids = [int(each) if each.isdecimal() else -1 for each in names]
    wrong = next((number for number, (one, other) in enumerate(pairwise(ids), 1) if other < one), None)
    if wrong is None:
        return ""
    if sorted(ids) not in (list(range(len(ids))), list(range(1, len(ids) + 1))):
        order = "ids are numbers out of order; their lines are taken as the order of the scores"
        return "" if -1 in ids else f"labels '{path}': {order}"
    line = f"id '{list(names)[wrong]}' comes after '{list(names)[wrong - 1]}'"
    raise InputError(
        f"labels '{path}': {line}, but lines are in the order of the scores; sort them by number "
        "(sort -n). If they are in that order and the ids are no such numbers, write them as 'class-10'",
        field="labels",
    )


def _named(path: Path) -> Iterator[tuple[int, str, str]]:
    """Read the number, the folder and the name of each line that is neither blank nor a comment."""
    for number, marked in enumerate(_text(path).split("\n"), 1):
        line = marked.removeprefix(BYTE_ORDER_MARK)
        if line.strip() and not is_comment(line):
            folder, tab, name = line.partition("\t")
            ends_with_tab = bool(tab and folder.strip())
            if not ends_with_tab:
                folder, name = [*line.split(maxsplit=1), ""][:2]
            folder, name = folder.strip(), name.strip()
            if fault := _fault(folder, name, ends_with_tab=ends_with_tab):
                raise InputError(f"labels '{path}', line {number}: {fault}", field="labels")
            yield number, folder, name


def _fault(folder: str, name: str, *, ends_with_tab: bool) -> str:
    """Return what is wrong with a line, empty if nothing is."""
    separator = None if ends_with_tab else _SEPARATORS.search(folder)
    if not ends_with_tab and folder.startswith(("{", "[")) and (separator or not name):
        return "it seems to be JSON; write a line for each class: n01440764 tench"
    if not name:
        return f"'{folder}' has no name; a line is: n01440764 tench, or with a TAB between"
    if separator:
        message = f"'{folder}' contains {separator[0]!r}; a line is: n01440764 tench"
        return f"{message}; put a TAB behind an id that has that character"
    columns = 1 + len(name.split("\t"))
    return (
        "" if columns == 2 else f"'{folder}' has {columns} columns; a line has two: n01440764, a TAB, tench"
    )


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
