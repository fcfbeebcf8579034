"""Every kind of pixel that an image file can hold, as upright 8-bit RGB."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION

from zfscope.errors import InputError

Rgb = NDArray[np.uint8]

MID_GREY = 128
"""What shows through transparent pixels: near the mean of photos, so that a network sees nothing there."""

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_EIGHT_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_WHITE_IS_ZERO = 0

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


def to_upright_rgb(image: ImageFile.ImageFile, *, field: str, backdrop: int = MID_GREY) -> Rgb:
    """Return a loaded picture as uint8 (height, width, 3), turned as its EXIF orientation says.

    backdrop: the grey, 0 to 255, behind transparent pixels.
    Raises InputError for pixels of no stated range: 32-bit integers and floating point.
    """
    stored = np.asarray(_to_rgb(image, field, backdrop))
    turn = _TURNS.get(_orientation(image))
    return stored if turn is None else np.ascontiguousarray(turn(stored))


def _to_rgb(image: ImageFile.ImageFile, field: str, backdrop: int) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        return _grey_of_16_bits(image).convert("RGB")
    if image.mode not in _EIGHT_BIT:
        raise InputError(
            f"{field} has {image.format} pixels of kind '{image.mode}'; allowed are whole numbers of 1, 8 or "
            "16 bits, as grey, palette, RGB or CMYK: convert it first",
            field=field,
        )
    if image.has_transparency_data:
        return _over(image, backdrop)
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey_of_16_bits(image: ImageFile.ImageFile) -> Image.Image:
    """Scale by the whole range (65535 -> 255, and 4095 -> 255 for a TIFF of 12 bits), rounding.

    Pillow's own conversion would cut off everything above 255.
    """
    tags = getattr(image, "tag_v2", {})
    white = 2 ** int(tags.get(BITSPERSAMPLE, (16,))[0]) - 1
    grey = np.linspace(0, 255, white + 1).round().astype(np.uint8)
    if tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:
        grey = grey[::-1]
    return Image.fromarray(grey[np.asarray(image)])


def _over(image: Image.Image, grey: int) -> Image.Image:
    layer = image.convert("RGBA")
    background = Image.new("RGB", image.size, (grey, grey, grey))
    background.paste(layer, mask=layer)
    return background


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; a TIFF that Pillow has turned already says 1."""
    try:
        return int(image.getexif().get(Base.Orientation, 1))
    except Exception:  # a broken EXIF block is no reason to refuse a readable photo
        return 1
