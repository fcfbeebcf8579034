"""Reading of photos within the decoding limits, with the reason if a photo cannot be used."""

import hashlib
import stat
from pathlib import Path
from typing import NamedTuple

from zfscope.datasets.dataset import MISSING, DataSet, Photo
from zfscope.datasets.names import as_unicode, quoted
from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.text import one_line

DIGEST_BYTES = 16
# Subject of decoding errors, which name the field at fault.
FILE_FIELD = "the file"


class SkippedPhoto(NamedTuple):
    """A photo that could not be used: its printable name, and the reason as text."""

    name: str
    reason: str


class UnusablePhoto(InputError):
    """A photo of a data set that cannot be used; the message is the reason without the photo's name."""


def no_usable_photo_error(data: DataSet, first: SkippedPhoto, *, field: str = "data") -> InputError:
    """Return the error for a data set without usable photos. first: the first unusable photo."""
    message = f"none of the {len(data):,} photos in {quoted(str(data.root))} can be used"
    return InputError(f"{message}; {quoted(first.name)}: {first.reason}", field=field)


def read_photo(photo: Photo, limits: DecodeLimits | None = None) -> bytes:
    """Return the encoded bytes of a photo. Raises UnusablePhoto.

    limits: decoding limits; by default those of the environment.
    """
    max_bytes = (limits or environment_limits()).bytes
    if photo.size == MISSING:
        raise UnusablePhoto(_missing_reason(photo.file))
    if photo.size > max_bytes:
        raise UnusablePhoto(f"{FILE_FIELD} has {photo.size:,} bytes; allowed: at most {max_bytes:,}")
    if as_unicode(photo.name) != photo.name:
        raise UnusablePhoto("the file's name is not UTF-8; rename it")
    try:
        return read_range(photo.file, photo.offset, photo.size)
    except OSError as error:
        raise UnusablePhoto(f"{FILE_FIELD} cannot be read: {error.strerror or error}") from error


def read_usable_photo(photo: Photo) -> bytes:
    """Return the encoded bytes of a photo after checking that it can be decoded. Raises UnusablePhoto."""
    data = read_photo(photo)
    try:
        decode(data, field=FILE_FIELD)
    except InputError as error:
        raise UnusablePhoto(one_line(error.message)) from error
    return data


def read_range(file: Path, offset: int, size: int) -> bytes:
    """Read `size` bytes of a regular file, or fewer at its end. Raises OSError."""
    if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would block
        raise OSError("not a regular file")
    with file.open("rb") as opened:
        opened.seek(offset)
        return opened.read(size)


def _missing_reason(file: Path) -> str:
    """Return why a path in a list is not a photo."""
    try:
        if file.is_dir():
            return "it is a folder; list the photos in it"
        return "it is not a regular file" if file.exists() else "no such file"
    except (OSError, ValueError):
        return "no such file"


def photo_digest(data: bytes) -> bytes:
    """Return the BLAKE2b digest of a photo's encoded bytes, DIGEST_BYTES long, which identifies the photo."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
