"""Conversion to 8 bits of pixels whose range does not follow from their type.

These are signed, 32-bit and floating-point numbers, and 8-bit TIFFs with a lower white, such as 63. The range
is the one declared by the file, or the most likely one.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import SAMPLEFORMAT

from zfscope.errors import InputError
from zfscope.images.depth import (
    DEPTHS,
    MAX_SAMPLE_VALUE,
    SMAX_SAMPLE_VALUE,
    EightBitImage,
    bits_per_channel,
    tag_number,
    white_is_zero,
)
from zfscope.results import Notice

_SMIN_SAMPLE_VALUE = 340
_SIGNED = 2
_MAX_16_BIT = 65535
# Share of the white level by which resampling can overshoot black and white in floating-point images.
_OVERSHOOT = 0.1
# Number of colour channels by mode; a further channel is alpha.
_COLOUR_CHANNELS = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "CMYK": 4}


def scale_numeric_grey(image: ImageFile.ImageFile, field: str) -> EightBitImage:
    """Scale 32-bit, signed or floating-point grey to 8 bits, by its declared or most likely range.

    Raises InputError for values without a plausible range: negative, not finite, or too large.
    """
    values: NDArray[Any] = np.asarray(image)
    if is_signed_8_bits(image):
        values = values.view(np.int8).astype(np.int16)
    black, white, source = _black_and_white(image, values, field)
    if white_is_zero(image):
        black, white = white, black
    clipped = np.clip(values.astype(np.float64), min(black, white), max(black, white))
    levels = (clipped - black) * (255 / (white - black))
    kind = "floating-point numbers" if image.mode == "F" else "integers"
    range_text = f"{kind} from {values.min():.6g} to {values.max():.6g} were read as grey levels"
    message = (
        f"{range_text} from {black:g} (black) to {white:g} (white){source}; "
        "if that is wrong, convert to 8 bits"
    )
    return EightBitImage(
        Image.fromarray(levels.round().astype(np.uint8)), (Notice("assumed-range", message, field),)
    )


def is_signed_8_bits(image: ImageFile.ImageFile) -> bool:
    """Return whether the pixels of a TIFF are signed bytes, which Pillow opens as unsigned ones."""
    tags = getattr(image, "tag_v2", {})
    return image.mode == "L" and tag_number(tags.get(SAMPLEFORMAT)) == _SIGNED


def _black_and_white(
    image: ImageFile.ImageFile, values: NDArray[Any], field: str
) -> tuple[float, float, str]:
    """Return the values of black and white, and a note on their source if the file declares them.

    Raises InputError for values without a plausible range.
    """
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{field} has pixels that are not finite; convert to 8 bits", field=field)
    declared = _declared_range(image, low, high)
    if declared is not None:
        return *declared, ", as the file declares"
    spread = high > 0 and bool((values % 257 == 0).all())
    if image.mode == "F":
        white = _float_white(low, high, spread=spread)
    else:
        white = _integer_white(bits_per_channel(image), low, high, spread=spread)
    if white is None:
        raise InputError(
            f"{field} is a {image.format} file with pixels from {low:g} to {high:g} and does not declare "
            "which values are black and white; convert to 8 bits, or to numbers from 0 to 1",
            field=field,
        )
    return 0.0, white, ""


def _declared_range(image: ImageFile.ImageFile, low: float, high: float) -> tuple[float, float] | None:
    """Return the black and white values declared by a TIFF; None if missing or if values exceed them.

    A maximum without a minimum is often just the brightest pixel, so it counts only if it is one less than a
    power of two, such as 4095.
    """
    tags = getattr(image, "tag_v2", {})
    black, white = tag_number(tags.get(_SMIN_SAMPLE_VALUE)), tag_number(tags.get(SMAX_SAMPLE_VALUE))
    if black is None and image.mode != "F":
        white = tag_number(tags.get(MAX_SAMPLE_VALUE)) if white is None else white
        black = 0.0 if white is not None and white > 0 and math.log2(white + 1).is_integer() else None
    if black is None or white is None or not black <= low <= high <= white or black == white:
        return None
    return black, white


def _integer_white(bits: int, low: float, high: float, *, spread: bool) -> float | None:
    """Return the largest value of the smallest bit depth that fits; None for negative or large values.

    spread: whether all values are 8-bit values times 257, which is 8 bits scaled to 16.
    """
    max_bits = bits - 1 if bits <= 16 else 16
    if low < 0 or high >= 2**max_bits:
        return None
    depths = () if high == 0 or (spread and max_bits == 16) else DEPTHS
    return float(2 ** next((depth for depth in depths if high < 2**depth and depth < max_bits), max_bits) - 1)


def _float_white(low: float, high: float, *, spread: bool) -> float | None:
    """Return the most likely white level of floating-point values; None if none fits.

    Resampling can overshoot, so values up to 10 % above a white level still belong to it: an image from 0 to
    1.01 would be black if its white were 255. For the same reason, slightly negative values are accepted in
    an image that also has bright ones.
    """
    whites = [1.0, *(float(2**bits - 1) for bits in (() if spread else DEPTHS)), float(_MAX_16_BIT)]
    white = next((white for white in whites if high <= white * (1 + _OVERSHOOT)), None)
    if white is None or (low < 0 and not (low >= -_OVERSHOOT * white and high >= white / 2)):
        return None
    return white


def needs_rescaling(image: ImageFile.ImageFile) -> bool:
    """Return whether the levels of an 8-bit TIFF may need scaling."""
    return is_signed_8_bits(image) or _declared_white(image) is not None


def scale_to_declared_maximum(image: ImageFile.ImageFile, field: str) -> EightBitImage | None:
    """Scale an 8-bit image by its declared maximum; None if it declares none or has larger values."""
    white = _declared_white(image)
    if white is None:
        return None
    # Pillow has already inverted 8-bit levels where 0 is white.
    levels, inverted = np.asarray(image), white_is_zero(image)
    colours = levels if levels.ndim == 2 else levels[..., : _COLOUR_CHANNELS[image.mode]]
    highest = int(255 - colours.min(initial=255) if inverted else colours.max(initial=0))
    if highest > white:
        return None
    table = np.linspace(0, 255, white + 1).round()[np.minimum(range(256), white)]
    scaled = (255 - table[::-1] if inverted else table).astype(int).tolist()
    opacity = list(range(256)) * (len(image.getbands()) - _COLOUR_CHANNELS[image.mode])
    scaled = scaled * _COLOUR_CHANNELS[image.mode] + opacity
    message = (
        f"8-bit pixels with values up to {highest} were read as {white.bit_length()}-bit, as the file "
        "declares; if that is wrong, remove its MaxSampleValue"
    )
    return EightBitImage(image.point(scaled), (Notice("assumed-bit-depth", message, field),))


def _declared_white(image: ImageFile.ImageFile) -> int | None:
    """Return the maximum declared by an 8-bit TIFF if it is 1, 3, 7, ... or 127, else None.

    Other maxima are often just the brightest pixel. If the channels differ, the largest maximum counts.
    """
    tags = getattr(image, "tag_v2", {})
    if not tags or image.mode not in _COLOUR_CHANNELS or bits_per_channel(image) != 8:
        return None
    for tag in (SMAX_SAMPLE_VALUE, MAX_SAMPLE_VALUE):
        declared = tags.get(tag)
        whites = [tag_number(value) for value in (declared if isinstance(declared, tuple) else (declared,))]
        white = max(
            (value for value in whites[: _COLOUR_CHANNELS[image.mode]] if value is not None), default=0
        )
        if 1 <= white < 255 and math.log2(white + 1).is_integer():
            return int(white)
    return None
