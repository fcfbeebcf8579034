"""Damage that decoders do not report: images that end before their last row, and corrupted JPEGs."""

import struct
import zlib

import numpy as np
from PIL import ImageFile
from PIL.TiffImagePlugin import (
    PLANAR_CONFIGURATION,
    ROWSPERSTRIP,
    SAMPLESPERPIXEL,
    STRIPOFFSETS,
    TILEOFFSETS,
    TiffImageFile,
)

from zfscope.images.bombs import tiff_tile_size
from zfscope.images.chunks import png_chunks
from zfscope.images.jpeg import JpegHeader, copied_as_text
from zfscope.images.malformed import Malformed
from zfscope.results import Notice

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type of PNG
# The seven passes of an interlaced PNG: first column, first row, and the step in columns and rows.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_BLOCK_BYTES = 1 << 20


def damage_notices(data: bytes, header: JpegHeader, field: str) -> tuple[Notice, ...]:
    """Return a warning for a JPEG that was copied as text or lacks scans."""
    if copied_as_text(data):
        message = (
            "the JPEG is damaged: every line feed follows a carriage return, as after a copy in text mode; "
            "copy the original in binary mode"
        )
    elif header.lacks_scans:
        message = (
            "the JPEG is incomplete: its last scans are missing, so details, colours or a part of the image "
            "are lost; copy the original again"
        )
    else:
        return ()
    return (Notice("damaged", message, field),)


def check_strips(image: ImageFile.ImageFile) -> None:
    """Raise Malformed for a TIFF with too few strips or tiles for its size."""
    if not isinstance(image, TiffImageFile):
        return
    tags, (width, height) = image.tag_v2, image.size
    across, down = tiff_tile_size(image)
    tiled = TILEOFFSETS in tags
    if not tiled:
        across, down = width, min(tags.get(ROWSPERSTRIP) or height, height)
    offsets = tags.get(TILEOFFSETS if tiled else STRIPOFFSETS) or ()
    planes = tags.get(SAMPLESPERPIXEL, 1) if tags.get(PLANAR_CONFIGURATION) == 2 else 1
    needed = -(-width // max(across, 1)) * -(-height // max(down, 1)) * planes
    missing = needed - sum(map(bool, offsets[:needed]))  # an offset of 0 is a missing part, too
    if missing:
        raise Malformed(f"{missing:,} of its {needed:,} strips or tiles are missing")


def check_rows(image: ImageFile.ImageFile, data: bytes) -> None:
    """Raise Malformed for a loaded PNG whose pixel data ends early; Pillow leaves the missing rows 0.

    Counting the bytes takes as long as decoding, so it is skipped if the last two rows have non-zero pixels.
    """
    if image.format != "PNG":
        return
    width, height = image.size
    last = image.crop((0, max(height - 2, 0), width, height))
    if np.asarray(last).reshape(min(height, 2), -1).any(axis=1).all():
        return
    if not _unpacks_to(data, _png_bytes(data)):
        raise Malformed("its pixel data ends before the last row")


def _png_bytes(data: bytes) -> int:
    """Return the size in bytes of the uncompressed pixels of a PNG; each row has an extra filter byte."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _CHANNELS[colour]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def _unpacks_to(data: bytes, size: int) -> bool:
    """Return whether the pixel data of a PNG unpacks to at least `size` bytes."""
    unpacker, left = zlib.decompressobj(), size
    try:
        for chunk in (*(content for kind, content in png_chunks(data) if kind == b"IDAT"), b""):
            block = unpacker.decompress(chunk, _BLOCK_BYTES)
            while block and left > 0:
                left -= len(block)
                block = unpacker.decompress(unpacker.unconsumed_tail, _BLOCK_BYTES)
    except zlib.error:  # for example a wrong checksum after pixels that Pillow accepted
        return True
    return left <= 0
