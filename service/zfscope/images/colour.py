"""Every kind of pixel that an image file can hold, as upright 8-bit RGB."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.ExifTags import Base

from zfscope.errors import InputError
from zfscope.images.depth import EightBitImage, PixelStorage, scale_16_bit_colour, scale_16_bit_grey
from zfscope.images.numbers import is_signed_8_bits, scale_numeric_grey, scale_to_stated_maximum
from zfscope.results import Notice

Rgb = NDArray[np.uint8]

MID_GREY = 128
"""What shows through transparent pixels: near the mean of photos, so that a network sees nothing there."""

# Code of the warning of transparent pixels.
TRANSPARENCY = "transparency"

# Share of a picture from which on its transparency is worth a warning; a few soft edges are not.
_TRANSPARENT_SHARE = 0.01

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_NUMERIC_MODES = ("I", "F")
_EIGHT_BIT_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

# EXIF orientation -> what turns the stored picture upright; 1 is upright already. Views, not copies.
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
    """A picture as a viewer shows it, uint8 (height, width, 3), and what was assumed of its pixels."""

    pixels: Rgb
    warnings: tuple[Notice, ...] = ()


def to_upright_rgb(
    image: ImageFile.ImageFile, file: PixelStorage, *, field: str, backdrop: int = MID_GREY
) -> UprightImage:
    """Return a loaded picture in 8-bit RGB, turned as its EXIF orientation says.

    file: how it is stored. backdrop: the grey, 0 to 255, behind transparent pixels.
    Raises InputError for pixels of unknown range: negative ones, 32-bit and floating-point ones
    that are too large.
    """
    rgb, warnings = _to_rgb(image, file, field, backdrop)
    return UprightImage(apply_orientation(np.asarray(rgb), image), warnings)


def apply_orientation(pixels: Rgb, image: Image.Image) -> Rgb:
    """Return pixels, (height, width) or (height, width, 3), turned as their file's EXIF orientation says."""
    orient = _ORIENTATIONS.get(_orientation(image))
    return pixels if orient is None else np.ascontiguousarray(orient(pixels))


def orientation_swaps_sides(image: Image.Image) -> bool:
    """Return whether width and height change places when the picture is turned upright."""
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
            f"{field} has {image.format} pixels of kind '{image.mode}'; allowed are grey, palette, RGB and "
            "CMYK: convert it first",
            field=field,
        )
    converted, warnings = (
        scale_16_bit_colour(image, file, field)
        or scale_to_stated_maximum(image, field)
        or EightBitImage(image)
    )
    if converted.has_transparency_data:
        return _blend_over_grey(converted, backdrop, warnings, field)
    return EightBitImage(converted if converted.mode == "RGB" else converted.convert("RGB"), warnings)


def _blend_over_grey(
    image: Image.Image, grey: int, warnings: tuple[Notice, ...], field: str
) -> EightBitImage:
    """Blend a picture over grey, with a warning where much of it is transparent."""
    layer = image.convert("RGBA")
    background = Image.new("RGB", image.size, (grey, grey, grey))
    background.paste(layer, mask=layer)
    share = 1 - float(np.asarray(layer.getchannel("A")).mean()) / 255
    if share <= _TRANSPARENT_SHARE:
        return EightBitImage(background, warnings)
    message = (
        f"{100 * share:.0f} % of the picture is transparent and was read as grey; "
        "to choose what is behind it, save the picture without transparency"
    )
    return EightBitImage(background, (*warnings, Notice(TRANSPARENCY, message, field)))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; a TIFF that Pillow has turned already says 1."""
    try:
        return int(image.getexif().get(Base.Orientation, 1))
    except Exception:  # a readable photo is accepted despite a broken EXIF block
        return 1
