"""Text of files, plugins and services, made harmless where people read it."""

import re

# C0 and C1 controls and DEL, which control a terminal; marks that reverse the order of what follows them, and
# the separators at which some readers begin a new line.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return text with control characters escaped, new lines kept."""
    return "\n".join(map(harmless, text.split("\n")))


def harmless(text: str) -> str:
    """Return text with control characters escaped, new lines included."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
