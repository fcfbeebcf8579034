"""Limits of image files: defaults, and the environment variables shared by the service and the commands."""

import os
from dataclasses import dataclass, field
from functools import lru_cache

from zfscope.errors import InputError
from zfscope.images.formats import Format, readable_formats

# Factor by which a JPEG may exceed the pixel limit, since it is then decoded at a smaller scale, and a mask,
# since it takes one byte per pixel.
MAX_PIXEL_FACTOR = 4
# Approximate memory of a decoder and its caller, in bytes per pixel.
BYTES_PER_PIXEL = 10


@dataclass(frozen=True)
class DecodeLimits:
    """Limits of an encoded image.

    bytes:    maximum encoded size; 108-megapixel phones write JPEGs of up to about 45 MB.
    pixels:   maximum width times height; decoding takes about 10 bytes of memory per pixel, up to 25 for dark
              16-bit colour. A JPEG of up to four times as many pixels is decoded at a smaller scale.
    formats:  allowed formats, recognised by the first bytes of the file, never by its name or media type.
    scans:    maximum number of passes over the pixels of a JPEG; encoders write 1 to about 15.
    """

    bytes: int = 48 * 2**20
    pixels: int = 50_000_000
    formats: tuple[Format, ...] = field(default_factory=readable_formats)
    scans: int = 100


def environment_limits() -> DecodeLimits:
    """Return the limits set by ZFSCOPE_MAX_IMAGE_BYTES and ZFSCOPE_MAX_IMAGE_PIXELS, or the defaults.

    Raises InputError for a value that is not a positive integer.
    """
    return _limits(os.environ.get("ZFSCOPE_MAX_IMAGE_BYTES"), os.environ.get("ZFSCOPE_MAX_IMAGE_PIXELS"))


@lru_cache(maxsize=8)
def _limits(max_bytes: str | None, max_pixels: str | None) -> DecodeLimits:
    return DecodeLimits(
        bytes=_read_setting("max_image_bytes", max_bytes, DecodeLimits.bytes),
        pixels=_read_setting("max_image_pixels", max_pixels, DecodeLimits.pixels),
    )


def _read_setting(setting: str, text: str | None, default: int) -> int:
    if not text:  # an empty variable counts as unset
        return default
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        message = f"ZFSCOPE_{setting.upper()} is '{text:.80}'; allowed: integers of 1 or more"
        raise InputError(message, field=setting)
    return number
