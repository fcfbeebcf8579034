"""Original files of Pillow images, used instead of re-encoding if the image is unchanged."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile
from PIL.ExifTags import Base

from zfscope.images.formats import HEAD_BYTES, identify

# Metadata read by Pillow that affects the appearance and that a caller may change.
_STATED = ("icc_profile", "gamma", "transparency")


def load_with_file(picture: Image.Image, *, max_bytes: int) -> bytes | None:
    """Load a picture and return the bytes of its file; None if there is no file or the picture has changed.

    Pillow drops information that the file has: the lower byte of 16-bit colour, and whether 0 is white in a
    TIFF. max_bytes: maximum size of the file in bytes; larger ones are not read. Raises Pillow's exceptions.
    """
    if not isinstance(picture, ImageFile.ImageFile) or picture.tell() != 0:
        picture.load()
        return None
    files = list(_files_of(picture, max_bytes))  # before load() closes the open file
    picture.load()
    return next((data for data in files if _is_of(picture, data)), None)


def orientation_of(picture: Image.Image) -> int | None:
    """Return the EXIF orientation, or None."""
    return picture.getexif().get(Base.Orientation)


def _files_of(picture: ImageFile.ImageFile, max_bytes: int) -> Iterator[bytes]:
    """Yield the bytes of the open file of a picture, or else of the file at its path."""
    for opened in (picture.fp, getattr(picture, "_fp", None)):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed or None
            data = _whole(opened)
            if len(data) <= max_bytes:
                yield data
                return
    name: Any = picture.filename
    if name:
        with contextlib.suppress(OSError, ValueError):
            path = Path(os.fsdecode(name))
            if path.stat().st_size <= max_bytes:
                yield path.read_bytes()


def _whole(opened: Any) -> bytes:
    """Return all bytes of an open file; its position is restored."""
    position = opened.tell()
    try:
        opened.seek(0)
        return bytes(opened.read())
    finally:
        opened.seek(position)


def _is_of(picture: ImageFile.ImageFile, data: bytes) -> bool:
    """Return whether a file contains exactly the loaded picture, in a format that every service reads."""
    kind = identify(data[:HEAD_BYTES])
    if kind is None or kind.format in (None, "HEIC"):  # HEIC support is optional
        return False
    try:
        again = type(picture)(
            io.BytesIO(data)
        )  # not Image.open, which would repeat its warning about large images
        again.load()
        return _appearance(again) == _appearance(picture) and again.tobytes() == picture.tobytes()
    except Exception:  # the file has changed; parsers may raise anything
        return False


def _appearance(picture: Image.Image) -> tuple[Any, ...]:
    """Return what affects the appearance besides the pixels."""
    stated = tuple(picture.info.get(name) for name in _STATED)
    return (picture.size, picture.mode, picture.getpalette(), orientation_of(picture), stated)
