"""Text of files, plugins and services: how it is decoded, and made harmless where people read it."""

import re

# C0 and C1 controls and DEL, which control a terminal; marks that reverse the order of what follows them, and
# the separators at which some readers begin a new line.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

# Begins each line that began a file before files were joined.
BYTE_ORDER_MARK = "\ufeff"

# A name may begin with '#' too: a class '#' ends with a TAB, and a file '# 1.jpg' can be written './# 1.jpg'.
_COMMENT = re.compile(r"\s*#+( |\s*$)")


def encoding_of(head: bytes) -> str:
    """Return the encoding of a text file by its byte order mark, UTF-8 without one."""
    return "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"


def decode_text(data: bytes, errors: str = "strict") -> str:
    """Decode a text file, in UTF-16 where it begins with the mark of that. Raises UnicodeDecodeError."""
    return data.decode(encoding_of(data), errors)


def is_comment(line: str) -> bool:
    """Return whether a line of a list or of labels is a comment: '#' and a space, or nothing but '#'."""
    return _COMMENT.match(line) is not None


def printable(text: str) -> str:
    """Return text with control characters escaped, new lines kept."""
    return "\n".join(map(harmless, text.split("\n")))


def harmless(text: str) -> str:
    """Return text with control characters escaped, new lines included."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
