"""Pixels of more than 8 bits as 8-bit ones: how many bits count is stated, or else read from the pixels.

Cameras of 10, 12 and 14 bits write their values as they are into 16-bit files, which are then 64, 16 or 4
times too dark. PNG's sBIT and TIFF's MaxSampleValue say so, seldom; else the brightest pixel does.
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

# Depths that cameras and software have, smallest first; values that need more bits are of the whole range.
DEPTHS = (8, 10, 12, 14)
_MAX_16_BIT = 65535
# Values that 12 bits hold; a 16-bit picture in which no more than this share is above them is nearly black.
_RANGE_12_BIT, _FEW_SHARE = 2**12, 0.001
MAX_SAMPLE_VALUE, SMAX_SAMPLE_VALUE = 281, 341
_WHITE_IS_ZERO = 0
_ROWS_PER_BLOCK = 256
"""Rows that are converted at once, so that their 16-bit values take little memory."""

# What makes Pillow keep the lower byte of each 16-bit value, for what makes it keep the upper one; of grey
# with opacity both bytes of both, as if they were four channels.
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
    """How an opened file stores its pixels, before they are unpacked.

    reopen: opens it again. rawmodes: Pillow's names of its kinds of pixels. significant_bits: what a PNG's
    sBIT says, None without one. planar: whether channels are stored one after the other.
    """

    reopen: Callable[[], ImageFile.ImageFile]
    rawmodes: frozenset[str]
    significant_bits: int | None
    planar: bool


def pixel_storage(
    image: ImageFile.ImageFile, data: bytes, reopen: Callable[[], ImageFile.ImageFile]
) -> PixelStorage:
    """Return how an opened file, of which `data` are the bytes, stores its pixels."""
    planar = getattr(image, "tag_v2", {}).get(PLANAR_CONFIGURATION) == 2
    bits = png_significant_bits(data) if image.format == "PNG" else None
    return PixelStorage(reopen, frozenset(map(_rawmode, image.tile)), bits, planar)


class EightBitImage(NamedTuple):
    """A picture of 8 bits a channel, and what was assumed of its range."""

    image: Image.Image
    warnings: tuple[Notice, ...] = ()


def scale_16_bit_grey(image: ImageFile.ImageFile, file: PixelStorage, field: str) -> EightBitImage:
    """Scale 16-bit grey by its range, rounding: 65535 -> 255, and 4095 -> 255 for 12 bits.

    Pillow's own conversion would cut off everything above 255.
    """
    values, type_bits = np.asarray(image), bits_per_channel(image)
    stated = _stated_bits(image, file) if type_bits == 16 else type_bits  # such as 12 bits, packed
    value_range, inverted = _value_range([values]), white_is_zero(image)
    depth = _bit_depth(value_range, type_bits, stated)
    if inverted and depth.bits == 16:  # white may be the highest value of the type, of whatever depth
        values, inverted = _MAX_16_BIT - values, False
        value_range = _value_range([values])
        depth = _bit_depth(value_range, type_bits, stated)
    table = _level_table(2**depth.bits - 1)
    grey = Image.fromarray((table[::-1] if inverted else table)[values])
    if depth.bits == 16 and stated is None and not value_range.spread:
        return EightBitImage(
            grey, _nearly_black_notices(int((values >= _RANGE_12_BIT).sum()), values.size, field)
        )
    return EightBitImage(grey, _depth_notices(depth, field, inverted=inverted))


def scale_16_bit_colour(image: ImageFile.ImageFile, file: PixelStorage, field: str) -> EightBitImage | None:
    """Return 16-bit colour of which the upper bits are unused, None for any other picture.

    Pillow keeps the upper byte of each value. Where that is dark all over, the file is decoded once more for
    the lower one. Raises InputError for 16-bit planes, of which Pillow has no lower byte, and which it
    misreads as 8-bit ones where they are not compressed.
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
        message = f"{field} is a TIFF file of 16-bit channels one after the other (planar), which is not read"
        raise InputError(f"{message}: convert to interleaved channels or to 8 bits", field=field)
    low = _lower_bytes(file)
    blocks = [slice(start, start + _ROWS_PER_BLOCK) for start in range(0, len(high), _ROWS_PER_BLOCK)]
    value_range = _value_range(_join_bytes(high[rows], low[rows])[..., :3] for rows in blocks)
    depth = _bit_depth(value_range, 16, _stated_bits(image, file))
    if not depth.assumed:
        return None
    table = _level_table(2**depth.bits - 1)
    result = np.empty_like(high)
    for rows in blocks:
        result[rows] = table[np.minimum(_join_bytes(high[rows], low[rows]), len(table) - 1)]
    if result.shape[2] == 4 and int(high[..., 3].max()) >= 2 ** (depth.bits - 8):
        result[..., 3] = high[..., 3]  # opacity that has the whole range
    return EightBitImage(Image.fromarray(result), _depth_notices(depth, field))


def _full_range_colour(
    image: ImageFile.ImageFile, high: NDArray[np.uint8], file: PixelStorage, field: str
) -> EightBitImage | None:
    """Return 16-bit colour as it is with a warning where it is nearly black, else None. high: upper bytes."""
    colours = high[..., :3]
    warnings = _nearly_black_notices(int((colours >= _RANGE_12_BIT >> 8).sum()), colours.size, field)
    if not warnings or file.planar or _stated_bits(image, file) is not None:
        return None
    if (_lower_bytes(file)[..., :3] == colours).all():  # 8 bits spread to 16
        return None
    return EightBitImage(image, warnings)


def _nearly_black_notices(bright: int, count: int, field: str) -> tuple[Notice, ...]:
    """Return a warning for a 16-bit picture whose few bright values hide that the others may have 12 bits.

    bright: how many of `count` values need more than 12 bits.
    """
    if not 0 < bright <= _FEW_SHARE * count:
        return ()
    message = (
        f"all but {bright:,} of {count:,} values of a 16-bit picture are below {_RANGE_12_BIT:,}, so it "
        f"was read as nearly black; if it has 12 bits, cut its values off at {_RANGE_12_BIT - 1:,}, else "
        "scale them to 16 bits"
    )
    return (Notice("assumed-bit-depth", message, field),)


class _ValueRange(NamedTuple):
    """The largest of many values, and whether all are those of 8 bits times 257, which fill 16 bits."""

    highest: int
    spread: bool


class _BitDepth(NamedTuple):
    """How many bits values use, whether that is fewer than their file's type has, and the largest value."""

    bits: int
    assumed: bool
    highest: int


def _value_range(blocks: Iterable[NDArray[Any]]) -> _ValueRange:
    found = [_ValueRange(int(block.max(initial=0)), bool((block % 257 == 0).all())) for block in blocks]
    return _ValueRange(max((item.highest for item in found), default=0), all(item.spread for item in found))


def _bit_depth(value_range: _ValueRange, type_bits: int, stated: int | None) -> _BitDepth:
    """Read the depth from the largest value, unless what the file states fits it. whole: bits of its type."""
    highest = value_range.highest
    if stated is not None:  # larger values show that they were scaled to the whole range
        bits = stated if highest < 2**stated else type_bits
        return _BitDepth(bits, bits < type_bits, highest)
    bits = next((bits for bits in DEPTHS if highest < 2**bits), type_bits)
    if bits >= type_bits or not highest or (type_bits == 16 and value_range.spread):
        return _BitDepth(type_bits, False, highest)
    return _BitDepth(bits, True, highest)


def _depth_notices(depth: _BitDepth, field: str, *, inverted: bool = False) -> tuple[Notice, ...]:
    """Return a warning of an assumed depth. inverted: whether 0 is white."""
    if not depth.assumed:
        return ()
    white = 2**depth.bits - 1
    read = f"16-bit pixels, none above {depth.highest:,}, were read as {depth.bits}-bit ones"
    if inverted:
        message = (
            f"{read}, from 0 (white) to {white:,} (black); if the picture is that pale, scale its values to "
            "16 bits"
        )
    else:
        message = (
            f"{read}, {_MAX_16_BIT / white:.0f} times as bright; if the picture is that dark, scale its "
            "values to 16 bits"
        )
    return (Notice("assumed-bit-depth", message, field),)


def _stated_bits(image: ImageFile.ImageFile, file: PixelStorage) -> int | None:
    """Return how many bits a file says that count, None where it does not: PNG's sBIT, TIFF's MaxSampleValue.

    TIFF's value may be no more than the brightest pixel: only one less than a power of two, such as 4095,
    is a depth.
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
    """Return a tag's value, the first of several, None where it is not a number."""
    first = value[0] if isinstance(value, tuple) and value else value
    try:
        return float(first)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def bits_per_channel(image: ImageFile.ImageFile) -> int:
    """Return the bits of a channel that a TIFF states, 16 for other formats, of which only such are asked."""
    stated = getattr(image, "tag_v2", {}).get(BITSPERSAMPLE, (16,))
    return int(stated[0]) if stated else 16


def _level_table(white: int) -> NDArray[np.uint8]:
    """Return the 8-bit level of each value up to `white`."""
    return np.linspace(0, 255, white + 1).round().astype(np.uint8)


def white_is_zero(image: Image.Image) -> bool:
    """Return whether a TIFF's values count from white to black; Pillow turns 8-bit ones itself."""
    return getattr(image, "tag_v2", {}).get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO


def _rawmode(tile: Any) -> str:
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _lower_bytes(file: PixelStorage) -> NDArray[np.uint8]:
    """Decode a picture of 16 bits a channel again, keeping the lower byte of each value."""
    image = file.reopen()
    image.tile = [tile._replace(args=_lower_byte_args(tile)) for tile in image.tile]
    image.load()
    lower = np.asarray(image)
    return lower[..., [1, 1, 1, 3]] if "LA;16B" in file.rawmodes else lower


def _lower_byte_args(tile: Any) -> Any:
    lower = _LOWER_BYTE_MODES[_rawmode(tile)]
    return (lower, *tile.args[1:]) if isinstance(tile.args, tuple) else lower


def _join_bytes(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return np.left_shift(high, 8, dtype=np.uint16) | low
