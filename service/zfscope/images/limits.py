"""What an image may be: the one setting of its limits, for the service and for commands alike."""

import os
from dataclasses import dataclass, field
from functools import lru_cache

from zfscope.errors import InputError
from zfscope.images.formats import Format, readable_formats

# What a JPEG may have beyond the limit of pixels: it is then decoded at a smaller scale. Masks of one byte a
# pixel may have as many.
MAX_PIXEL_FACTOR = 4
# About what a decoder and its caller keep of each pixel, in bytes.
BYTES_PER_PIXEL = 10


@dataclass(frozen=True)
class DecodeLimits:
    """What an encoded image may be.

    bytes:    encoded size; phones of 108 megapixels write JPEGs of up to about 45 MB.
    pixels:   width times height; a picture takes about 10 bytes of memory per pixel while it is decoded, dark
              colour of 16 bits up to 25. A JPEG of up to four times as many is decoded at a smaller scale.
    formats:  recognised by the first bytes of the file, never by a name or a media type.
    scans:    passes over the pixels of a progressive JPEG; encoders write 1 to about 15.
    """

    bytes: int = 48 * 2**20
    pixels: int = 50_000_000
    formats: tuple[Format, ...] = field(default_factory=readable_formats)
    scans: int = 100


def environment_limits() -> DecodeLimits:
    """Return the limits that ZFSCOPE_MAX_IMAGE_BYTES and ZFSCOPE_MAX_IMAGE_PIXELS set, as for the service.

    Raises InputError for a value that is not a whole number of 1 or more.
    """
    return _limits(os.environ.get("ZFSCOPE_MAX_IMAGE_BYTES"), os.environ.get("ZFSCOPE_MAX_IMAGE_PIXELS"))


@lru_cache(maxsize=8)
def _limits(most_bytes: str | None, most_pixels: str | None) -> DecodeLimits:
    return DecodeLimits(
        bytes=_number("max_image_bytes", most_bytes, DecodeLimits.bytes),
        pixels=_number("max_image_pixels", most_pixels, DecodeLimits.pixels),
    )


def _number(setting: str, text: str | None, default: int) -> int:
    if not text:  # an empty variable counts as unset
        return default
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        message = f"ZFSCOPE_{setting.upper()} is '{text:.80}'; allowed are whole numbers of 1 or more"
        raise InputError(message, field=setting)
    return number
