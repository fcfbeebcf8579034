"""The files that pictures of Pillow were opened from, as long as the pictures are what is in them."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile
from PIL.ExifTags import Base

from zfscope.images.formats import HEAD_BYTES, identify

# What Pillow read besides pixels, and a caller may change.
_STATED = ("icc_profile", "gamma", "transparency")


def load_with_file(picture: Image.Image, *, most: int) -> bytes | None:
    """Load a picture; return its file's bytes, None where there is no file or its picture is another by now.

    A picture alone has less than its file: of 16-bit colour the upper byte of each value, of a TIFF not
    whether 0 is white. most: bytes of a file above which it is not read. Raises what Pillow does.
    """
    if not isinstance(picture, ImageFile.ImageFile) or picture.tell() != 0:
        picture.load()
        return None
    files = list(_files_of(picture, most))  # before Pillow closes the open one
    picture.load()
    return next((data for data in files if _is_of(picture, data)), None)


def orientation_of(picture: Image.Image) -> int | None:
    """Return the EXIF orientation, None without one."""
    return picture.getexif().get(Base.Orientation)


def _files_of(picture: ImageFile.ImageFile, most: int) -> Iterator[bytes]:
    """Return the bytes of the open file of a picture, or else those of its path."""
    for opened in (picture.fp, getattr(picture, "_fp", None)):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # it is closed, or there is none
            data = _whole(opened)
            if len(data) <= most:
                yield data
                return
    name: Any = picture.filename
    if name:
        with contextlib.suppress(OSError, ValueError):
            path = Path(os.fsdecode(name))
            if path.stat().st_size <= most:
                yield path.read_bytes()


def _whole(opened: Any) -> bytes:
    """Return all bytes of an open file, which stays where it was."""
    place = opened.tell()
    try:
        opened.seek(0)
        return bytes(opened.read())
    finally:
        opened.seek(place)


def _is_of(picture: ImageFile.ImageFile, data: bytes) -> bool:
    """Return whether a loaded picture is the one in a file, of a format that every service reads."""
    kind = identify(data[:HEAD_BYTES])
    if kind is None or kind.format in (None, "HEIC"):  # HEIC is an extra
        return False
    try:
        again = type(picture)(io.BytesIO(data))  # not Image.open, which warns of large ones once more
        again.load()
        return _looks(again) == _looks(picture) and again.tobytes() == picture.tobytes()
    except Exception:  # another file by now, of which any parser may raise anything
        return False


def _looks(picture: Image.Image) -> tuple[Any, ...]:
    """Return what counts besides pixels."""
    stated = tuple(picture.info.get(name) for name in _STATED)
    return (picture.size, picture.mode, picture.getpalette(), orientation_of(picture), stated)
