"""Names of photos: their class, and printable and quoted forms for messages."""

import os
import unicodedata
from collections.abc import Iterator, Sequence


def first_folder(name: str) -> str:
    """Return the first folder of a path in a data set, which is the photo's class; empty if it has none."""
    folder, slash, _ = name.partition("/")
    return folder if slash else ""


def as_unicode(name: str) -> str:
    """Return a path as valid Unicode text; bytes that are not UTF-8 are escaped, such as \\xff."""
    return os.fsencode(name).decode(errors="backslashreplace")


def quoted(name: str) -> str:
    """Return a name in quotes for a one-line message, with control characters escaped, such as \\n."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in as_unicode(name)
    )
    return f"'{shown}'"


def similar_classes(classes: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each group of classes that differ only in case, spaces or Unicode normalisation."""
    groups = dict[str, list[str]]()
    for name in classes:
        folded = unicodedata.normalize("NFC", name).casefold()
        groups.setdefault(" ".join(unicodedata.normalize("NFC", folded).split()), []).append(name)
    for group in groups.values():
        if len(group) > 1:
            same = len({unicodedata.normalize("NFC", name) for name in group}) < len(group)
            names = ", ".join(ascii(as_unicode(name)) if same else quoted(name) for name in group)
            difference = "differ only in case, spaces or Unicode normalisation"
            yield f"classes {names} {difference}; merge them if they are the same"
