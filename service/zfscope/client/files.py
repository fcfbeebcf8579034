"""Conversion of files, in any form that callers pass them, to bytes."""

import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import IO, Any

from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION

from zfscope.client.pillow_files import load_with_file, orientation_of
from zfscope.errors import InputError, TooLarge, TooMuchWork
from zfscope.images.depth import white_is_zero

# A file: its bytes, its path, a file opened in binary mode (read from its position), or a Pillow image.
File = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | Image.Image

# Protobuf's limit for a message; gRPC's is the same.
MAX_MESSAGE_BYTES = 2**31 - 1
# Above this size, the limit of the service itself (52 MiB by default) is queried and checked.
LARGE_BYTES = 24 << 20
_ask: ContextVar[Callable[[], int | None]] = ContextVar("ask", default=lambda: None)
_URL = re.compile(r"^(https?|ftp|s3|gs)://", re.IGNORECASE)
# Pillow modes that PNG stores unchanged, and the modes to which others are converted without visible loss.
_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_CONVERTED = {"RGBa": "RGBA", "La": "LA", "PA": "RGBA", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
# PNG's gAMA chunk stores gamma in 31 bits, in units of 1/100,000.
_MAX_GAMMA = 20_000
_KINDS = "bytes, a path, a file opened in binary mode, or a Pillow image"


@contextmanager
def request_limit(ask: Callable[[], int | None]) -> Iterator[None]:
    """Make `check_size` also enforce the service's limit in bytes, returned by `ask` (None if unknown)."""
    token = _ask.set(cache(ask))
    try:
        yield
    finally:
        _ask.reset(token)


def check_size(count: int, field: str) -> None:
    """Check the number of bytes of a field against the limits, before they are copied.

    Raises TooLarge above the limit of a message, TooMuchWork above the limit of the service.
    """
    if count > MAX_MESSAGE_BYTES:
        limit = f"a request holds at most {MAX_MESSAGE_BYTES:,}, and services usually accept far fewer"
        raise TooLarge(f"{field} has {count:,} bytes; {limit} (its max_receive_bytes)", field=field)
    allowed = _ask.get()() if count > LARGE_BYTES else None
    if allowed is not None and count > allowed:
        limit = f"this service accepts at most {allowed:,} in a request (its max_receive_bytes)"
        raise TooMuchWork(f"{field} has {count:,} bytes; {limit}: send fewer or smaller images", field=field)


def is_file(value: Any) -> bool:
    """Return whether a value is a single file rather than a list of files."""
    return isinstance(value, bytes | bytearray | memoryview | str | os.PathLike | Image.Image) or hasattr(
        value, "read"
    )


def contents(file: File, *, field: str) -> bytes:
    """Return a file's bytes.

    Raises InputError, naming `field`, for an unreadable path, a URL, a file opened in text mode or at its
    end, a file too large for a message, and a value of any other type.
    """
    if isinstance(file, bytes | bytearray | memoryview):
        check_size(memoryview(file).nbytes, field)
        return bytes(file)
    if isinstance(file, Image.Image):
        return _encoded(file, field)
    if isinstance(file, str | os.PathLike):
        return _read(file, field)
    if hasattr(file, "read"):
        return _read_open(file, field)
    raise InputError(f"{field} is of type {type(file).__name__}; allowed: {_KINDS}", field=field)


def _read(path: str | os.PathLike[str], field: str) -> bytes:
    name = os.fspath(path)
    if name.startswith("data:"):  # validated by the decoder
        return name.encode()
    if _URL.match(name):
        message = f"'{name}' is a URL; URLs are not supported: download the file and pass its path or bytes"
        raise InputError(message, field=field)
    try:
        check_size(Path(name).stat().st_size, field)
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: not a valid file name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"'{name}' cannot be read: {reason}", field=field) from error


def _read_open(file: IO[bytes], field: str) -> bytes:
    try:
        data = file.read()
    except (OSError, ValueError) as error:  # ValueError: closed file
        raise InputError(f"{field}: the open file cannot be read: {error}", field=field) from error
    if not isinstance(data, bytes | bytearray | memoryview):
        message = f"{field}: the file is open in text mode; open it in binary mode: open(path, 'rb')"
        raise InputError(message, field=field)
    if not data:
        message = f"{field}: the open file is at its end; rewind it: file.seek(0)"
        raise InputError(message, field=field)
    check_size(memoryview(data).nbytes, field)
    return bytes(data)


def _encoded(picture: Image.Image, field: str) -> bytes:
    """Return the original file of a Pillow image if unchanged, else encode its current frame losslessly.

    Orientation, colour profile and gamma are kept.
    """
    try:
        unchanged = load_with_file(picture, max_bytes=MAX_MESSAGE_BYTES)
        if unchanged is not None:
            check_size(len(unchanged), field)
            return unchanged
        converted = _CONVERTED.get(picture.mode)
        whole = picture.convert(converted) if converted else picture
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{field}: the picture cannot be read: {error}", field=field) from error
    if whole.mode not in _PNG_MODES and whole.mode != "CMYK":
        modes = ", ".join(sorted({*_PNG_MODES, *_CONVERTED, "CMYK"}))
        message = f"{field} is a picture of mode '{picture.mode}'; allowed: {modes}: convert it"
        raise InputError(message, field=field)
    file = io.BytesIO()
    inverted = whole.mode == "I;16" and white_is_zero(picture)  # PNG cannot express it
    kind = "TIFF" if whole.mode == "CMYK" or inverted else "PNG"
    whole.save(file, kind, exif=_orientation(picture), **_options(kind, picture, inverted=inverted))
    return file.getvalue()


def _options(kind: str, picture: Image.Image, *, inverted: bool) -> dict[str, Any]:
    """Return the options of Pillow's encoder that keep inversion and gamma."""
    if kind == "TIFF":
        return {"tiffinfo": {PHOTOMETRIC_INTERPRETATION: 0}} if inverted else {}
    chunks, gamma = PngInfo(), picture.info.get("gamma")
    if isinstance(gamma, float) and 0 < gamma < _MAX_GAMMA:
        chunks.add(b"gAMA", struct.pack(">I", round(gamma * 100_000)))
    return {"compress_level": 1, "pnginfo": chunks}


def _orientation(picture: Image.Image) -> Image.Exif:
    """Return EXIF data with the orientation tag only."""
    tags, orientation = Image.Exif(), orientation_of(picture)
    if orientation is not None:
        tags[Base.Orientation] = orientation
    return tags
