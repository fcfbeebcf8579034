"""Every kind of pixel that an image file can hold, as upright 8-bit RGB."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.ExifTags import Base

from zfscope.errors import InputError
from zfscope.images.depth import EightBits, Stored, colour_of_16_bits, grey_of_16_bits
from zfscope.images.numbers import grey_of_numbers, is_signed_8_bits, of_stated_bits
from zfscope.results import Notice

Rgb = NDArray[np.uint8]

MID_GREY = 128
"""What shows through transparent pixels: near the mean of photos, so that a network sees nothing there."""

# Code of the warning of transparent pixels.
TRANSPARENCY = "transparency"

# Share of a picture from which on its transparency is worth a warning; a few soft edges are not.
_TRANSPARENT = 0.01

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_NUMBERS = ("I", "F")
_EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

# EXIF orientation -> what turns the stored picture upright; 1 is upright already. Views, not copies.
_TURNS: Mapping[int, Callable[[Rgb], Rgb]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


class Upright(NamedTuple):
    """A picture as a viewer shows it, uint8 (height, width, 3), and what was assumed of its pixels."""

    pixels: Rgb
    warnings: tuple[Notice, ...] = ()


def to_upright_rgb(
    image: ImageFile.ImageFile, file: Stored, *, field: str, backdrop: int = MID_GREY
) -> Upright:
    """Return a loaded picture in 8-bit RGB, turned as its EXIF orientation says.

    file: how it is stored. backdrop: the grey, 0 to 255, behind transparent pixels.
    Raises InputError for pixels of unknown range: negative ones, 32-bit and floating-point ones
    that are too large.
    """
    rgb, warnings = _to_rgb(image, file, field, backdrop)
    return Upright(upright(np.asarray(rgb), image), warnings)


def upright(pixels: Rgb, image: Image.Image) -> Rgb:
    """Return pixels, (height, width) or (height, width, 3), turned as their file's EXIF orientation says."""
    turn = _TURNS.get(_orientation(image))
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def is_turned(image: Image.Image) -> bool:
    """Return whether width and height change places when the picture is turned upright."""
    return _orientation(image) in (5, 6, 7, 8)


def _to_rgb(image: ImageFile.ImageFile, file: Stored, field: str, backdrop: int) -> EightBits:
    if image.mode in _SIXTEEN_BIT:
        grey, warnings = grey_of_16_bits(image, file, field)
        return EightBits(grey.convert("RGB"), warnings)
    if image.mode in _NUMBERS or is_signed_8_bits(image):
        grey, warnings = grey_of_numbers(image, field)
        return EightBits(grey.convert("RGB"), warnings)
    if image.mode not in _EIGHT_BIT:
        raise InputError(
            f"{field} has {image.format} pixels of kind '{image.mode}'; allowed are grey, palette, RGB and "
            "CMYK: convert it first",
            field=field,
        )
    shown, warnings = (
        colour_of_16_bits(image, file, field) or of_stated_bits(image, field) or EightBits(image)
    )
    if shown.has_transparency_data:
        return _over(shown, backdrop, warnings, field)
    return EightBits(shown if shown.mode == "RGB" else shown.convert("RGB"), warnings)


def _over(image: Image.Image, grey: int, warnings: tuple[Notice, ...], field: str) -> EightBits:
    """Blend a picture over grey, with a warning where much of it is transparent."""
    layer = image.convert("RGBA")
    background = Image.new("RGB", image.size, (grey, grey, grey))
    background.paste(layer, mask=layer)
    share = 1 - float(np.asarray(layer.getchannel("A")).mean()) / 255
    if share <= _TRANSPARENT:
        return EightBits(background, warnings)
    message = (
        f"{100 * share:.0f} % of the picture is transparent and was read as grey; "
        "to choose what is behind it, save the picture without transparency"
    )
    return EightBits(background, (*warnings, Notice(TRANSPARENCY, message, field)))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; a TIFF that Pillow has turned already says 1."""
    try:
        return int(image.getexif().get(Base.Orientation, 1))
    except Exception:  # a readable photo is accepted despite a broken EXIF block
        return 1
