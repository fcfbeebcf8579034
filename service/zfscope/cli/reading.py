"""Files as a command reads them: never more than an image may have, and no pipe that nobody writes to."""

import re
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from zfscope.errors import InputError, TooLarge

# What a shell makes of `<(command)`: pipes whose writer it has started.
_OF_THE_SHELL = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/(self|\d+)/fd/\d+")


def read_file(path: Path) -> bytes:
    """Read a file whole.

    Raises OSError, InputError for a named pipe, and TooLarge for more bytes than an image may have.
    """
    if stat.S_ISFIFO(path.stat().st_mode) and not _OF_THE_SHELL.fullmatch(str(path)):
        message = f"'{path}' is a named pipe, which is not read; pass an image file, or - for standard input"
        raise InputError(message, field="photo")
    with path.open("rb", buffering=0) as file:
        return _read(file, f"'{path}'")


def read_standard_input() -> bytes:
    """Read one image from standard input. Raises InputError where it is closed or empty, and TooLarge."""
    if sys.stdin is None:
        raise InputError("standard input is closed; - reads one image file from it", field="photo")
    data = _read(sys.stdin.buffer, "standard input")
    if not data:
        raise InputError("standard input is empty; - reads one image file from it", field="photo")
    return data


def _read(file: BinaryIO, what: str) -> bytes:
    from zfscope.images.limits import environment_limits

    most = environment_limits().bytes
    parts, left = [], most + 1
    while left and (part := file.read(min(left, 2**20))):
        parts.append(part)
        left -= len(part)
    if not left:
        message = f"{what} is longer than {most:,} bytes, the most of an image (ZFSCOPE_MAX_IMAGE_BYTES)"
        raise TooLarge(message, field="photo")
    return b"".join(parts)
