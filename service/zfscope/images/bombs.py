"""Decompression bombs that the size declared in the header does not reveal.

Pillow reads the size of an image without unpacking it, which is enough to reject most bombs. Three measured
cases remain, each detectable from the bytes alone: a GIF whose first frame is larger than its screen (Pillow
allocates a canvas of that size while opening), a JPEG with thousands of scans (each takes 0.05 s per 49
megapixels; see `zfscope.images.jpeg`), and a TIFF whose tiles are larger than the image (libtiff unpacks
whole tiles).
"""

from PIL import ImageFile
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from zfscope.images.malformed import Malformed

_EXTENSION_BLOCK = 0x21
_IMAGE_DESCRIPTOR = 0x2C
# 25 MB of full blocks. Without a limit, a file of tiny blocks would keep Python busy for seconds.
_MAX_GIF_BLOCKS = 100_000
_TOO_MANY_BLOCKS = f"it has more than {_MAX_GIF_BLOCKS:,} blocks before the first frame"


def gif_size(data: bytes) -> tuple[int, int]:
    """Return the (width, height) in pixels that contains both the screen and the first frame of a GIF.

    Raises IndexError if the file is truncated, Malformed if more than 100,000 blocks precede the first frame.
    """
    width, height = _uint16(data, 6), _uint16(data, 8)
    frame = _gif_first_frame(data)
    x, y, frame_width, frame_height = (_uint16(data, frame + 1 + offset) for offset in (0, 2, 4, 6))
    return max(width, x + frame_width), max(height, y + frame_height)


def gif_has_several_frames(data: bytes) -> bool:
    """Return whether a GIF has a second frame; False if damaged or after more than 100,000 blocks."""
    try:
        return data[_after_frame(data, _gif_first_frame(data))] == _IMAGE_DESCRIPTOR
    except (IndexError, Malformed):
        return False


def tiff_tile_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Return the tile size (width, height) of an opened TIFF; (0, 0) for strips and other formats."""
    if not isinstance(image, TiffImageFile):
        return 0, 0
    return int(image.tag_v2.get(TILEWIDTH, 0)), int(image.tag_v2.get(TILELENGTH, 0))


def _gif_first_frame(data: bytes) -> int:
    """Return the offset of the first image descriptor, after header, palette and extensions."""
    return _after_extensions(data, 13 + _palette_bytes(data[10]))


def _after_frame(data: bytes, position: int) -> int:
    """Return the offset after a frame and the extensions that follow it."""
    pixels = position + 10 + _palette_bytes(data[position + 9])
    # Pixel data is one byte (the LZW code size) and then sub-blocks; an extension is two bytes and then
    # sub-blocks. Starting one byte earlier therefore skips pixel data as if it were an extension.
    return _after_extensions(data, _after_extension(data, pixels - 1))


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_extensions(data: bytes, position: int) -> int:
    for _ in range(_MAX_GIF_BLOCKS):
        if data[position] != _EXTENSION_BLOCK:
            return position
        position = _after_extension(data, position)
    raise Malformed(_TOO_MANY_BLOCKS)


def _after_extension(data: bytes, position: int) -> int:
    position += 2
    for _ in range(_MAX_GIF_BLOCKS):
        if data[position] == 0:
            return position + 1
        position += data[position] + 1
    raise Malformed(_TOO_MANY_BLOCKS)


def _uint16(data: bytes, position: int) -> int:
    return data[position] | data[position + 1] << 8
