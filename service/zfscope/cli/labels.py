"""The names of classes, from a file."""

from collections.abc import Iterator
from pathlib import Path

from zfscope.errors import InputError
from zfscope.text import decode_text, is_comment


def read_labels(path: Path) -> dict[str, str]:
    """Read names of classes, a line each: the folder, a TAB or spaces, the name. Comments begin with '# '.

    Where a line has a TAB, it ends the folder, which may have spaces then. Raises InputError for a file that
    is not such text in UTF-8, or in UTF-16 with its byte order mark, and for a class that is named twice.
    """
    names, lines = dict[str, str](), dict[str, int]()
    for number, folder, name in _named(path):
        if not name:
            example = "n01440764 tench, or with a TAB between"
            message = f"labels '{path}', line {number}: '{folder}' has no name; a line is: {example}"
            raise InputError(message, field="labels")
        if folder in names:
            message = f"labels '{path}': class '{folder}' is named in lines {lines[folder]} and {number}"
            raise InputError(f"{message}; leave one of them", field="labels")
        names[folder], lines[folder] = name, number
    if not names:
        raise InputError(f"labels '{path}' is empty; a line is: n01440764 tench", field="labels")
    return names


def _named(path: Path) -> Iterator[tuple[int, str, str]]:
    """Read the number, the folder and the name of each line that is neither blank nor a comment."""
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip() and not is_comment(line):
            folder, tab, name = line.partition("\t")
            if not tab or not folder.strip():
                folder, name = [*line.split(maxsplit=1), ""][:2]
            yield number, folder.strip(), name.strip()


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
