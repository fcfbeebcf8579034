"""Conversion of any pixel format to upright 8-bit RGB."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.ExifTags import Base

from zfscope.errors import InputError
from zfscope.images.depth import EightBitImage, PixelStorage, scale_16_bit_colour, scale_16_bit_grey
from zfscope.images.numbers import is_signed_8_bits, scale_numeric_grey, scale_to_declared_maximum
from zfscope.results import Notice

Rgb = NDArray[np.uint8]

# Backdrop of transparent pixels: near the mean of photos, so that it barely activates a network.
MID_GREY = 128

# Code of the warning about transparent pixels.
TRANSPARENCY = "transparency"

# Transparent share of an image above which a warning is added; a few soft edges stay below it.
_TRANSPARENT_SHARE = 0.01

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_NUMERIC_MODES = ("I", "F")
_EIGHT_BIT_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

# Function that turns stored pixels upright, by EXIF orientation; 1 is already upright. Views, not copies.
_ORIENTATIONS: Mapping[int, Callable[[Rgb], Rgb]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


class UprightImage(NamedTuple):
    """Upright RGB pixels, uint8 (height, width, 3), and warnings about assumptions made."""

    pixels: Rgb
    warnings: tuple[Notice, ...] = ()


def to_upright_rgb(
    image: ImageFile.ImageFile, file: PixelStorage, *, field: str, backdrop: int = MID_GREY
) -> UprightImage:
    """Convert a loaded image to 8-bit RGB and turn it by its EXIF orientation.

    file: how the file stores the pixels. field: request field named in errors and warnings. backdrop: grey
    level behind transparent pixels, 0 to 255.
    Raises InputError for an unsupported pixel type and for values of unknown range: negative ones, and 32-bit
    or floating-point ones that are too large.
    """
    rgb, warnings = _to_rgb(image, file, field, backdrop)
    return UprightImage(apply_orientation(np.asarray(rgb), image), warnings)


def apply_orientation(pixels: Rgb, image: Image.Image) -> Rgb:
    """Turn pixels, (height, width) or (height, width, 3), by the EXIF orientation of their file."""
    orient = _ORIENTATIONS.get(_orientation(image))
    return pixels if orient is None else np.ascontiguousarray(orient(pixels))


def orientation_swaps_sides(image: Image.Image) -> bool:
    """Return whether turning the image upright swaps its width and height."""
    return _orientation(image) in (5, 6, 7, 8)


def _to_rgb(image: ImageFile.ImageFile, file: PixelStorage, field: str, backdrop: int) -> EightBitImage:
    if image.mode in _SIXTEEN_BIT_MODES:
        grey, warnings = scale_16_bit_grey(image, file, field)
        return EightBitImage(grey.convert("RGB"), warnings)
    if image.mode in _NUMERIC_MODES or is_signed_8_bits(image):
        grey, warnings = scale_numeric_grey(image, field)
        return EightBitImage(grey.convert("RGB"), warnings)
    if image.mode not in _EIGHT_BIT_MODES:
        raise InputError(
            f"{field} is a {image.format} file with pixels of type '{image.mode}'; allowed: grey, palette, "
            "RGB and CMYK; convert it",
            field=field,
        )
    converted, warnings = (
        scale_16_bit_colour(image, file, field)
        or scale_to_declared_maximum(image, field)
        or EightBitImage(image)
    )
    if converted.has_transparency_data:
        return _blend_over_grey(converted, backdrop, warnings, field)
    return EightBitImage(converted if converted.mode == "RGB" else converted.convert("RGB"), warnings)


def _blend_over_grey(
    image: Image.Image, grey: int, warnings: tuple[Notice, ...], field: str
) -> EightBitImage:
    """Blend an image over grey; warn if more than 1 % of it is transparent."""
    layer = image.convert("RGBA")
    background = Image.new("RGB", image.size, (grey, grey, grey))
    background.paste(layer, mask=layer)
    share = 1 - float(np.asarray(layer.getchannel("A")).mean()) / 255
    if share <= _TRANSPARENT_SHARE:
        return EightBitImage(background, warnings)
    message = (
        f"{100 * share:.0f} % of the image is transparent and was read as grey; "
        "to choose the background, save the image without transparency"
    )
    return EightBitImage(background, (*warnings, Notice(TRANSPARENCY, message, field)))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 for a TIFF, which Pillow has already turned."""
    try:
        return int(image.getexif().get(Base.Orientation, 1))
    except Exception:  # a readable photo is accepted even if its EXIF data is broken
        return 1
