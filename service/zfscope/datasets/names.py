"""Names of photos: their class, and how they are written and shown."""

import os
import unicodedata
from collections.abc import Iterator, Sequence


def first_folder(name: str) -> str:
    """Return the first folder of a path in a data set, the photo's class; empty where it has none."""
    folder, slash, _ = name.partition("/")
    return folder if slash else ""


def printable(name: str) -> str:
    """Return a path as text that any file can hold: bytes of it that are not UTF-8 as \\xff."""
    return os.fsencode(name).decode(errors="backslashreplace")


def quoted(name: str) -> str:
    """Return a name in quotes for a message, in one line whatever characters it has: a line feed as \\n."""
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in printable(name)
    )
    return f"'{shown}'"


def similar_classes(classes: Sequence[str]) -> Iterator[str]:
    """Return a warning for each group of classes that differ in case, spaces or Unicode's form alone."""
    groups = dict[str, list[str]]()
    for name in classes:
        folded = unicodedata.normalize("NFC", name).casefold()
        groups.setdefault(" ".join(unicodedata.normalize("NFC", folded).split()), []).append(name)
    for group in groups.values():
        if len(group) > 1:
            same = len({unicodedata.normalize("NFC", name) for name in group}) < len(group)
            names = ", ".join(ascii(printable(name)) if same else quoted(name) for name in group)
            yield f"classes {names} differ in case, spaces or Unicode's form alone; join them if they are one"
