"""8-bit TIFFs that say that they use fewer bits, such as 63 as the highest value, as pictures of all 8."""

import math

import numpy as np
from PIL import ImageFile

from zfscope.images.depth import (
    MAX_SAMPLE_VALUE,
    SMAX_SAMPLE_VALUE,
    EightBits,
    bits_of,
    tag_number,
    white_is_zero,
)
from zfscope.images.numbers import is_signed_8_bits
from zfscope.results import Notice

# Modes whose channels are levels, with how many of them are colours; others are opacity.
_COLOURS = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "CMYK": 4}


def is_rescaled(image: ImageFile.ImageFile) -> bool:
    """Return whether the levels of an 8-bit TIFF may have to be scaled before they are shown."""
    return is_signed_8_bits(image) or _stated_white(image) is not None


def of_stated_bits(image: ImageFile.ImageFile, field: str) -> EightBits | None:
    """Scale a picture of 8 bits to its stated maximum, None where it states none or values are above it."""
    white = _stated_white(image)
    if white is None:
        return None
    levels, inverted = np.asarray(image), white_is_zero(image)  # 255 is white by then: Pillow turns them
    colours = levels if levels.ndim == 2 else levels[..., : _COLOURS[image.mode]]
    highest = int(255 - colours.min(initial=255) if inverted else colours.max(initial=0))
    if highest > white:
        return None
    table = np.linspace(0, 255, white + 1).round()[np.minimum(range(256), white)]
    scaled = (255 - table[::-1] if inverted else table).astype(int).tolist()
    opacity = list(range(256)) * (len(image.getbands()) - _COLOURS[image.mode])
    scaled = scaled * _COLOURS[image.mode] + opacity
    message = (
        f"8-bit pixels, none above {highest}, were read as {white.bit_length()}-bit ones, as the file says; "
        "if they are not, remove its MaxSampleValue"
    )
    return EightBits(image.point(scaled), (Notice("assumed-bit-depth", message, field),))


def _stated_white(image: ImageFile.ImageFile) -> int | None:
    """Return the maximum that an 8-bit TIFF states, None for any that is not all ones of fewer than 8 bits.

    Others may be no more than the brightest pixel. Of channels that differ, the largest counts.
    """
    tags = getattr(image, "tag_v2", {})
    if not tags or image.mode not in _COLOURS or bits_of(image) != 8:
        return None
    for tag in (SMAX_SAMPLE_VALUE, MAX_SAMPLE_VALUE):
        stated = tags.get(tag)
        whites = [tag_number(each) for each in (stated if isinstance(stated, tuple) else (stated,))]
        white = max((each for each in whites[: _COLOURS[image.mode]] if each is not None), default=0)
        if 1 <= white < 255 and math.log2(white + 1).is_integer():
            return int(white)
    return None
