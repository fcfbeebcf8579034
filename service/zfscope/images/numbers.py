"""Pixels whose range is not that of their bits, as 8-bit levels: stated by the file, or the likeliest.

They are signed, 32-bit or floating-point numbers, or 8-bit TIFFs that state a lower white, such as 63.
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
# Share of the white level by which resampled floating-point pictures go beyond black and white.
_OVERSHOOT = 0.1
# Modes whose channels are levels, with how many of them are colours; others are opacity.
_COLOUR_CHANNELS = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "CMYK": 4}


def scale_numeric_grey(image: ImageFile.ImageFile, field: str) -> EightBitImage:
    """Scale whole numbers of 32 bits, signed ones and floating point by their stated or likeliest range.

    Raises InputError for values without a plausible range: negative, infinite, or too large.
    """
    values: NDArray[Any] = np.asarray(image)
    if is_signed_8_bits(image):
        values = values.view(np.int8).astype(np.int16)
    black, white, source = _black_and_white(image, values, field)
    if white_is_zero(image):
        black, white = white, black
    clipped = np.clip(values.astype(np.float64), min(black, white), max(black, white))
    levels = (clipped - black) * (255 / (white - black))
    kind = "floating-point" if image.mode == "F" else "whole"
    found = f"{kind} numbers from {values.min():.6g} to {values.max():.6g} were read as grey levels"
    message = (
        f"{found} from {black:g} (black) to {white:g} (white){source}; if they are not, convert to 8 bits"
    )
    return EightBitImage(
        Image.fromarray(levels.round().astype(np.uint8)), (Notice("assumed-range", message, field),)
    )


def is_signed_8_bits(image: ImageFile.ImageFile) -> bool:
    """Return whether a TIFF's pixels are signed bytes, which Pillow opens as if they were unsigned."""
    tags = getattr(image, "tag_v2", {})
    return image.mode == "L" and tag_number(tags.get(SAMPLEFORMAT)) == _SIGNED


def _black_and_white(
    image: ImageFile.ImageFile, values: NDArray[Any], field: str
) -> tuple[float, float, str]:
    """Return black and white, and in words where these come from if the file says so. Raises InputError."""
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{field} has pixels that are not finite: convert to 8 bits", field=field)
    stated = _stated_range(image, low, high)
    if stated is not None:
        return *stated, ", as the file says"
    spread = high > 0 and bool((values % 257 == 0).all())
    if image.mode == "F":
        white = _float_white(low, high, spread=spread)
    else:
        white = _integer_white(bits_per_channel(image), low, high, spread=spread)
    if white is None:
        raise InputError(
            f"{field} has {image.format} pixels from {low:g} to {high:g} and does not say which is black and "
            "which white: convert to 8 bits, or to 0 to 1",
            field=field,
        )
    return 0.0, white, ""


def _stated_range(image: ImageFile.ImageFile, low: float, high: float) -> tuple[float, float] | None:
    """Return the black and white that a TIFF states, None where it does not or where values are beyond them.

    A maximum without a minimum may be no more than the brightest pixel: only one less than a power of two,
    such as 4095, is white.
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
    """Return the highest value of the fewest bits that hold whole numbers, None for negative or large ones.

    spread: whether all are values of 8 bits times 257, which fill 16 bits.
    """
    whole = bits - 1 if bits <= 16 else 16
    if low < 0 or high >= 2**whole:
        return None
    depths = () if high == 0 or (spread and whole == 16) else DEPTHS
    return float(2 ** next((depth for depth in depths if high < 2**depth and depth < whole), whole) - 1)


def _float_white(low: float, high: float, *, spread: bool) -> float | None:
    """Return the likeliest white of floating-point values, None where none fits.

    The next one, 255, would make a picture from 0 to 1.01 black: values a tenth beyond a white are taken
    for resampled ones, and so are negative ones as small, where there are bright ones.
    """
    whites = [1.0, *(float(2**bits - 1) for bits in (() if spread else DEPTHS)), float(_MAX_16_BIT)]
    white = next((white for white in whites if high <= white * (1 + _OVERSHOOT)), None)
    if white is None or (low < 0 and not (low >= -_OVERSHOOT * white and high >= white / 2)):
        return None
    return white


def needs_rescaling(image: ImageFile.ImageFile) -> bool:
    """Return whether the levels of an 8-bit TIFF may have to be scaled before they are shown."""
    return is_signed_8_bits(image) or _stated_white(image) is not None


def scale_to_stated_maximum(image: ImageFile.ImageFile, field: str) -> EightBitImage | None:
    """Scale a picture of 8 bits to its stated maximum, None where it states none or values are above it."""
    white = _stated_white(image)
    if white is None:
        return None
    levels, inverted = np.asarray(image), white_is_zero(image)  # 255 is white by then: Pillow turns them
    colours = levels if levels.ndim == 2 else levels[..., : _COLOUR_CHANNELS[image.mode]]
    highest = int(255 - colours.min(initial=255) if inverted else colours.max(initial=0))
    if highest > white:
        return None
    table = np.linspace(0, 255, white + 1).round()[np.minimum(range(256), white)]
    scaled = (255 - table[::-1] if inverted else table).astype(int).tolist()
    opacity = list(range(256)) * (len(image.getbands()) - _COLOUR_CHANNELS[image.mode])
    scaled = scaled * _COLOUR_CHANNELS[image.mode] + opacity
    message = (
        f"8-bit pixels, none above {highest}, were read as {white.bit_length()}-bit ones, as the file says; "
        "if they are not, remove its MaxSampleValue"
    )
    return EightBitImage(image.point(scaled), (Notice("assumed-bit-depth", message, field),))


def _stated_white(image: ImageFile.ImageFile) -> int | None:
    """Return the maximum that an 8-bit TIFF states, None for any that is not all ones of fewer than 8 bits.

    Others may be no more than the brightest pixel. Of channels that differ, the largest counts.
    """
    tags = getattr(image, "tag_v2", {})
    if not tags or image.mode not in _COLOUR_CHANNELS or bits_per_channel(image) != 8:
        return None
    for tag in (SMAX_SAMPLE_VALUE, MAX_SAMPLE_VALUE):
        stated = tags.get(tag)
        whites = [tag_number(each) for each in (stated if isinstance(stated, tuple) else (stated,))]
        white = max((each for each in whites[: _COLOUR_CHANNELS[image.mode]] if each is not None), default=0)
        if 1 <= white < 255 and math.log2(white + 1).is_integer():
            return int(white)
    return None
