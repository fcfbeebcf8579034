"""Decoding of text files, escaping of control characters in untrusted text, and names for files."""

import re
import unicodedata
from collections.abc import Iterable

# C0 and C1 controls and DEL, which control a terminal; bidirectional marks, which reorder the text that
# follows; and the Unicode line separators, which some readers treat as line breaks.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

# Also starts the first line of each file when files were concatenated.
BYTE_ORDER_MARK = "\ufeff"

# Names may start with '#' too: a class '#' is followed by a TAB; a file '# 1.jpg' may be './# 1.jpg'.
_COMMENT = re.compile(r"\s*#+( |\s*$)")


# Most file systems limit names to 255 bytes; one character may take four.
_MAX_STEM = 40


def encoding_of(head: bytes) -> str:
    """Return the encoding of a text file from its byte order mark; UTF-8 by default."""
    return "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"


def decode_text(data: bytes, errors: str = "strict") -> str:
    """Decode a text file as UTF-8, or UTF-16 with a byte order mark. Raises UnicodeDecodeError."""
    return data.decode(encoding_of(data), errors)


def is_comment(line: str) -> bool:
    """Return whether a line of a list is a comment: '#' followed by a space, or '#' alone."""
    return _COMMENT.match(line) is not None


def one_line(text: str) -> str:
    """Join the lines of a message."""
    return " ".join(text.split())


def printable(text: str) -> str:
    """Escape control characters, except line breaks."""
    return "\n".join(map(harmless, text.split("\n")))


def harmless(text: str) -> str:
    """Escape control characters, including line breaks."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def safe_stem(name: str, max_chars: int = _MAX_STEM) -> str:
    """Return a name without path separators that every file system accepts; letters are kept."""
    letters = re.sub(r"[^\w-]", "_", unicodedata.normalize("NFC", name))
    return letters[:max_chars].lstrip("-") or "_"


def safe_name(name: str) -> str:
    """Return a name, possibly received from a service, without characters that could leave the folder."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def split_fields(documentation: str, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Split a docstring into paragraphs of text, and the descriptions of names that it lists.

    A description is written `name: text.` or, for several names, `first, second: text.`
    """
    name = f"(?:{'|'.join(map(re.escape, names))})"
    pattern = re.compile(rf"(?:^|(?<=\.) )({name}(?:, {name})*): ")
    paragraphs, described = list[str](), dict[str, str]()
    for paragraph in re.split(r"\n\n|(?<=\.)\s+(?=Raises )", documentation):
        text = " ".join(paragraph.split())
        first, *found = pattern.split(text)
        if not found or first:
            paragraphs.append(first if found else paragraph)
        for group, description in zip(found[::2], found[1::2], strict=True):
            described |= dict.fromkeys(group.split(", "), description.strip())
    return paragraphs, described
