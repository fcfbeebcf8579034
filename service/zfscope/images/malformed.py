"""Files that break their format: the error for them, and one plain sentence for whatever a decoder raised."""

import re
import struct

_TOO_SHORT = "it ends too early"
_INVALID = "its contents are not valid"
# Decoders report numbers that mean nothing to users: bytes left over, error codes.
_TRUNCATED = re.compile("truncated|ended too early|not enough|broken data stream", re.IGNORECASE)
_CODE = re.compile(r"decoder error -?\d+|unknown error|could not create decoder object", re.IGNORECASE)
# Pillow's own among the ValueErrors, most of which are Python's.
_PILLOW_LIMITS = re.compile("Decompressed data too large|Too much memory used in text chunks")


class Malformed(ValueError):
    """Contents that break their format. The message is a sentence for users."""


def damage_reason(error: BaseException) -> str:
    """Return what an exception of a decoder says about the file, in words that a user understands.

    Messages of Python itself, such as `index out of range`, are replaced.
    """
    cause = error.args[0] if error.args else ""
    if isinstance(error, SyntaxError) and isinstance(cause, Exception):  # Pillow wraps what its parsers raise
        return damage_reason(cause)
    if isinstance(error, Malformed):
        return str(error)
    if isinstance(error, IndexError | struct.error | EOFError):
        return _TOO_SHORT
    if type(error) not in (OSError, SyntaxError, ValueError) or not isinstance(cause, str):
        return _INVALID
    if type(error) is ValueError and not _PILLOW_LIMITS.match(cause) and not _TRUNCATED.search(cause):
        return _INVALID
    return _plain_message(cause)


def _plain_message(message: str) -> str:
    """Return a message of Pillow as it is, unless it is one of codes or of Python's own."""
    if _TRUNCATED.search(message):
        return _TOO_SHORT
    return _INVALID if not message or _CODE.search(message) else message
