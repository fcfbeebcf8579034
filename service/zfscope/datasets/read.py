"""Reading the file of a photo, within limits, or saying why it cannot be used."""

import hashlib
import stat
from pathlib import Path
from typing import NamedTuple

from zfscope.datasets.dataset import NOT_THERE, DataSet, Photo
from zfscope.datasets.names import printable, quoted
from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.limits import DecodeLimits, environment_limits

DIGEST_BYTES = 16
FIELD = "the file"


class Skipped(NamedTuple):
    """A photo that could not be used: its name, as it may be printed, and the reason in words."""

    name: str
    reason: str


class UnusablePhoto(InputError):
    """A photo of a data set that cannot be used; the message is the reason, without its name."""


def none_usable(data: DataSet, first: Skipped, *, field: str = "data") -> InputError:
    """Return the error for a data set without a photo that can be used. first: one that cannot be."""
    message = f"none of the {len(data):,} photos in {quoted(str(data.root))} can be used"
    return InputError(f"{message}; {quoted(first.name)}: {first.reason}", field=field)


def read_photo(photo: Photo, limits: DecodeLimits | None = None) -> bytes:
    """Return the bytes of a photo's file, within limits or else the environment's. Raises UnusablePhoto."""
    most = (limits or environment_limits()).bytes
    if photo.size == NOT_THERE:
        raise UnusablePhoto(_why_not_there(photo.file))
    if photo.size > most:
        raise UnusablePhoto(f"{FIELD} has {photo.size:,} bytes; at most {most:,} are allowed")
    if printable(photo.name) != photo.name:
        raise UnusablePhoto("the file's name is not UTF-8; rename it")
    try:
        return contents(photo.file, photo.offset, photo.size)
    except OSError as error:
        raise UnusablePhoto(f"{FIELD} cannot be read: {error.strerror or error}") from error


def usable_bytes(photo: Photo) -> bytes:
    """Return the bytes of a photo that can be decoded. Raises UnusablePhoto."""
    data = read_photo(photo)
    try:
        decode(data, field=FIELD)
    except InputError as error:
        raise UnusablePhoto(" ".join(error.message.split())) from error
    return data


def contents(file: Path, offset: int, size: int) -> bytes:
    """Return `size` bytes of a plain file, fewer where it ends. Raises OSError."""
    if not stat.S_ISREG(file.stat().st_mode):  # a pipe would be waited for
        raise OSError("not a plain file")
    with file.open("rb") as opened:
        opened.seek(offset)
        return opened.read(size)


def _why_not_there(file: Path) -> str:
    """Return why what a list names is not a photo's file."""
    try:
        if file.is_dir():
            return "it is a folder; list the photos in it"
        return "it is not a plain file" if file.exists() else "no such file"
    except (OSError, ValueError):
        return "no such file"


def digest_of(data: bytes) -> bytes:
    """Return the BLAKE2b of a photo's file, by which it is recognised: DIGEST_BYTES."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
