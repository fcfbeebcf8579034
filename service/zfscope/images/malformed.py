"""Damaged files: their exception, and a readable reason for any exception of a decoder."""

import re
import struct

_TOO_SHORT = "it is truncated"
_INVALID = "its contents are invalid"
# Messages of decoders with details that do not help users, such as error codes or the number of bytes left.
_TRUNCATED = re.compile("truncated|ended too early|not enough|broken data stream", re.IGNORECASE)
_CODE = re.compile(r"decoder error -?\d+|unknown error|could not create decoder object", re.IGNORECASE)
# ValueErrors with a useful message of Pillow; most other ValueErrors come from Python.
_PILLOW_LIMITS = re.compile("Decompressed data too large|Too much memory used in text chunks")


class Malformed(ValueError):
    """Contents that violate the file format. The message is a clause about the file, for users."""


def damage_reason(error: BaseException) -> str:
    """Return a reason that users can understand for an exception raised while decoding a file.

    Messages of Python itself, such as `index out of range`, are replaced.
    """
    cause = error.args[0] if error.args else ""
    # Pillow wraps the exceptions of its parsers.
    if isinstance(error, SyntaxError) and isinstance(cause, Exception):
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
    """Return a message of Pillow, or a generic reason if it has only a code."""
    if _TRUNCATED.search(message):
        return _TOO_SHORT
    return _INVALID if not message or _CODE.search(message) else message
