"""From a photo of a data set to what the network is given of it; what cannot be used has its reason told."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.decode import DecodeLimits, decode
from zfscope.images.preprocess import MeanImage, Preprocessing, prepare
from zfscope.scan.data import NOT_THERE, Photo, printable

DIGEST_BYTES = 16
LIMITS = DecodeLimits()
_FILE = "the file"


@dataclass(frozen=True, eq=False)
class Sight:
    """What the network is given of a photo: float32 (3, H, W), normalised; and the BLAKE2b of its file."""

    pixels: NDArray[np.float32]
    digest: bytes


def see(photo: Photo, preprocessing: Preprocessing, mean_image: MeanImage | None) -> Sight | str:
    """Read and prepare the centre crop of a photo; give the reason, in words, where it cannot be used."""
    try:
        data = _contents(photo)
        pixels = prepare(
            decode(data, field=_FILE, limits=LIMITS), preprocessing, mean_image=mean_image
        ).pixels
    except InputError as error:
        return " ".join(error.message.split())
    except OSError as error:
        return f"{_FILE} cannot be read: {error.strerror or error}"
    return Sight(pixels[0], digest_of(data))


def contents(file: Path, offset: int, size: int) -> bytes:
    """Read so many bytes of a file, less where it ends. Raises OSError, also for what is no plain file."""
    if not stat.S_ISREG(file.stat().st_mode):  # a pipe would be waited for
        raise OSError("it is no plain file")
    with file.open("rb") as opened:
        opened.seek(offset)
        return opened.read(size)


def digest_of(data: bytes) -> bytes:
    """Give the BLAKE2b by which a photo's file is known again: DIGEST_BYTES."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def _contents(photo: Photo) -> bytes:
    if photo.size == NOT_THERE:
        raise InputError("no such file")
    if photo.size > LIMITS.bytes:
        raise InputError(f"{_FILE} has {photo.size:,} bytes; at most {LIMITS.bytes:,} are allowed")
    if printable(photo.name) != photo.name:
        raise InputError("the file's name is no UTF-8; rename it")
    return contents(photo.file, photo.offset, photo.size)
