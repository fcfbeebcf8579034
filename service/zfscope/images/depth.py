"""Conversion of 16-bit pixels to 8 bits, by the number of bits in use.

Cameras with 10, 12 or 14 bits write unscaled values into 16-bit files, which are then 64, 16 or 4 times too
dark. Few files declare their bit depth (sBIT of PNG, MaxSampleValue of TIFF); for the others it is inferred
from the brightest pixel.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION

from zfscope.errors import InputError
from zfscope.images.chunks import png_significant_bits
from zfscope.results import Notice

# Bit depths of cameras and software, in ascending order; values that need more bits use the full range.
DEPTHS = (8, 10, 12, 14)
_MAX_16_BIT = 65535
# Number of 12-bit values. A 16-bit image in which at most this share of values needs more bits is nearly
# black.
_RANGE_12_BIT, _FEW_SHARE = 2**12, 0.001
# TIFF tags of the declared maximum.
MAX_SAMPLE_VALUE, SMAX_SAMPLE_VALUE = 281, 341
_WHITE_IS_ZERO = 0
# Rows that are converted at a time, which limits the memory for 16-bit values.
_ROWS_PER_BLOCK = 256

# Pillow converts 16-bit colour to 8 bits by keeping the upper byte of each value. Decoding with the opposite
# byte order keeps the lower byte instead. Grey with alpha (LA) is decoded as four 8-bit channels: two bytes
# for each of the two.
_LOWER_BYTE_MODES = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGB;16N": "RGB;16B",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    "RGBA;16N": "RGBA;16B",
    "LA;16B": "RGBA",
}


@dataclass(frozen=True)
class PixelStorage:
    """Storage of the pixels in an opened file, before they are unpacked.

    reopen: opens the file again. rawmodes: pixel formats, as named by Pillow. significant_bits: sBIT of a
    PNG; None if missing. planar: whether the channels are stored one after another.
    """

    reopen: Callable[[], ImageFile.ImageFile]
    rawmodes: frozenset[str]
    significant_bits: int | None
    planar: bool


def pixel_storage(
    image: ImageFile.ImageFile, data: bytes, reopen: Callable[[], ImageFile.ImageFile]
) -> PixelStorage:
    """Return the pixel storage of an opened file. data: bytes of the file."""
    planar = getattr(image, "tag_v2", {}).get(PLANAR_CONFIGURATION) == 2
    bits = png_significant_bits(data) if image.format == "PNG" else None
    return PixelStorage(reopen, frozenset(map(_rawmode, image.tile)), bits, planar)


class EightBitImage(NamedTuple):
    """Image with 8 bits per channel, and warnings about its assumed range."""

    image: Image.Image
    warnings: tuple[Notice, ...] = ()


def scale_16_bit_grey(image: ImageFile.ImageFile, file: PixelStorage, field: str) -> EightBitImage:
    """Scale 16-bit grey to 8 bits by its bit depth, rounded: 65535 -> 255, or 4095 -> 255 for 12 bits.

    Pillow's own conversion would clip all values above 255.
    """
    values, type_bits = np.asarray(image), bits_per_channel(image)
    # Packed values, such as 12 bits, always have the depth of their type.
    declared = _declared_bits(image, file) if type_bits == 16 else type_bits
    value_range, inverted = _value_range([values]), white_is_zero(image)
    depth = _bit_depth(value_range, type_bits, declared)
    if inverted and depth.bits == 16:
        # 0 is white, but some files count down from 65535 whatever their bit depth: infer the depth again.
        values, inverted = _MAX_16_BIT - values, False
        value_range = _value_range([values])
        depth = _bit_depth(value_range, type_bits, declared)
    table = _level_table(2**depth.bits - 1)
    grey = Image.fromarray((table[::-1] if inverted else table)[values])
    if depth.bits == 16 and declared is None and not value_range.spread:
        return EightBitImage(
            grey, _nearly_black_notices(int((values >= _RANGE_12_BIT).sum()), values.size, field)
        )
    return EightBitImage(grey, _depth_notices(depth, field, inverted=inverted))


def scale_16_bit_colour(image: ImageFile.ImageFile, file: PixelStorage, field: str) -> EightBitImage | None:
    """Scale 16-bit colour with unused upper bits to 8 bits; return None for all other images.

    Pillow keeps the upper byte of each value. If all upper bytes are small, the file is decoded again for the
    lower bytes. Raises InputError for 16-bit planes: Pillow cannot extract their lower bytes, and misreads
    uncompressed ones as 8-bit.
    """
    misread = (
        file.planar and bits_per_channel(image) == 16 and len(file.rawmodes & _LOWER_BYTE_MODES.keys()) == 0
    )
    if not misread and not (file.rawmodes and file.rawmodes <= _LOWER_BYTE_MODES.keys()):
        return None
    high = np.asarray(image)
    if not misread and high[..., :3].max(initial=0) >= 2 ** (DEPTHS[-1] - 8):
        return _full_range_colour(image, high, file, field)
    if file.planar:
        message = f"{field} is a TIFF file with planar 16-bit channels; allowed: interleaved, or 8 bits"
        raise InputError(f"{message}; convert it", field=field)
    low = _lower_bytes(file)
    blocks = [slice(start, start + _ROWS_PER_BLOCK) for start in range(0, len(high), _ROWS_PER_BLOCK)]
    value_range = _value_range(_join_bytes(high[rows], low[rows])[..., :3] for rows in blocks)
    depth = _bit_depth(value_range, 16, _declared_bits(image, file))
    if not depth.assumed:
        return None
    table = _level_table(2**depth.bits - 1)
    result = np.empty_like(high)
    for rows in blocks:
        result[rows] = table[np.minimum(_join_bytes(high[rows], low[rows]), len(table) - 1)]
    if result.shape[2] == 4 and int(high[..., 3].max()) >= 2 ** (depth.bits - 8):
        result[..., 3] = high[..., 3]  # alpha uses the full range
    return EightBitImage(Image.fromarray(result), _depth_notices(depth, field))


def _full_range_colour(
    image: ImageFile.ImageFile, high: NDArray[np.uint8], file: PixelStorage, field: str
) -> EightBitImage | None:
    """Return the image with a warning if it is nearly black, else None. high: upper bytes of its values."""
    colours = high[..., :3]
    warnings = _nearly_black_notices(int((colours >= _RANGE_12_BIT >> 8).sum()), colours.size, field)
    if not warnings or file.planar or _declared_bits(image, file) is not None:
        return None
    if (_lower_bytes(file)[..., :3] == colours).all():  # 8-bit values times 257
        return None
    return EightBitImage(image, warnings)


def _nearly_black_notices(bright: int, count: int, field: str) -> tuple[Notice, ...]:
    """Return a warning for a 16-bit image that may be a 12-bit one with a few outliers.

    bright: number of values, of `count`, that need more than 12 bits.
    """
    if not 0 < bright <= _FEW_SHARE * count:
        return ()
    message = (
        f"all but {bright:,} of {count:,} values of a 16-bit image are below {_RANGE_12_BIT:,}, so it was "
        f"read as nearly black; if it has 12 bits, clip its values to {_RANGE_12_BIT - 1:,}, otherwise scale "
        "them to 16 bits"
    )
    return (Notice("assumed-bit-depth", message, field),)


class _ValueRange(NamedTuple):
    """Largest value, and whether all are 8-bit values times 257, which is 8 bits scaled to 16."""

    highest: int
    spread: bool


class _BitDepth(NamedTuple):
    """Number of bits in use, whether it is less than the type of the file has, and the largest value."""

    bits: int
    assumed: bool
    highest: int


def _value_range(blocks: Iterable[NDArray[Any]]) -> _ValueRange:
    ranges = [_ValueRange(int(block.max(initial=0)), bool((block % 257 == 0).all())) for block in blocks]
    highest = max((item.highest for item in ranges), default=0)
    return _ValueRange(highest, all(item.spread for item in ranges))


def _bit_depth(value_range: _ValueRange, type_bits: int, declared: int | None) -> _BitDepth:
    """Return the declared bit depth if the values fit, else infer it from the largest value.

    type_bits: bits of the file's data type. declared: bit depth that the file declares; None if it does not.
    """
    highest = value_range.highest
    if declared is not None:  # larger values were scaled to the full range
        bits = declared if highest < 2**declared else type_bits
        return _BitDepth(bits, bits < type_bits, highest)
    bits = next((bits for bits in DEPTHS if highest < 2**bits), type_bits)
    if bits >= type_bits or not highest or (type_bits == 16 and value_range.spread):
        return _BitDepth(type_bits, False, highest)
    return _BitDepth(bits, True, highest)


def _depth_notices(depth: _BitDepth, field: str, *, inverted: bool = False) -> tuple[Notice, ...]:
    """Return a warning about an assumed bit depth. inverted: whether 0 is white."""
    if not depth.assumed:
        return ()
    white = 2**depth.bits - 1
    read = f"16-bit pixels with values up to {depth.highest:,} were read as {depth.bits}-bit"
    if inverted:
        message = (
            f"{read}, from 0 (white) to {white:,} (black); if the image really is that pale, scale "
            "its values to 16 bits"
        )
    else:
        message = (
            f"{read}, {_MAX_16_BIT / white:.0f} times as bright; if the image really is that dark, scale "
            "its values to 16 bits"
        )
    return (Notice("assumed-bit-depth", message, field),)


def _declared_bits(image: ImageFile.ImageFile, file: PixelStorage) -> int | None:
    """Return the declared bit depth (sBIT of PNG, MaxSampleValue of TIFF); None if not declared.

    Many TIFFs store the brightest pixel as MaxSampleValue, so only values one less than a power of two, such
    as 4095, count.
    """
    if file.significant_bits is not None:
        return file.significant_bits
    tags = getattr(image, "tag_v2", {})
    for tag in (SMAX_SAMPLE_VALUE, MAX_SAMPLE_VALUE):
        white = tag_number(tags.get(tag))
        if white is not None and 255 <= white <= _MAX_16_BIT and math.log2(white + 1).is_integer():
            return int(white).bit_length()
    return None


def tag_number(value: Any) -> float | None:
    """Return the value of a tag, or the first of several; None if it is not a number."""
    first = value[0] if isinstance(value, tuple) and value else value
    try:
        return float(first)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def bits_per_channel(image: ImageFile.ImageFile) -> int:
    """Return the bits per channel of a TIFF; 16 for other formats, which must be 16-bit images."""
    declared = getattr(image, "tag_v2", {}).get(BITSPERSAMPLE, (16,))
    return int(declared[0]) if declared else 16


def _level_table(white: int) -> NDArray[np.uint8]:
    """Return the 8-bit level of each value from 0 to `white`."""
    return np.linspace(0, 255, white + 1).round().astype(np.uint8)


def white_is_zero(image: Image.Image) -> bool:
    """Return whether 0 is white in a TIFF; Pillow inverts 8-bit images itself, but not others."""
    return getattr(image, "tag_v2", {}).get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO


def _rawmode(tile: Any) -> str:
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _lower_bytes(file: PixelStorage) -> NDArray[np.uint8]:
    """Decode a 16-bit colour image again, keeping the lower byte of each value."""
    image = file.reopen()
    image.tile = [tile._replace(args=_lower_byte_args(tile)) for tile in image.tile]
    image.load()
    lower = np.asarray(image)
    # Grey with alpha arrives as (upper, lower) of grey and (upper, lower) of alpha.
    return lower[..., [1, 1, 1, 3]] if "LA;16B" in file.rawmodes else lower


def _lower_byte_args(tile: Any) -> Any:
    lower = _LOWER_BYTE_MODES[_rawmode(tile)]
    return (lower, *tile.args[1:]) if isinstance(tile.args, tuple) else lower


def _join_bytes(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return np.left_shift(high, 8, dtype=np.uint16) | low
