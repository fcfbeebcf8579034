"""Damage that decoders pass over in silence: pictures that end before their last row, and noise."""

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

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of the colour types of PNG
# The seven passes of an interlaced PNG: first column and row, and steps between them.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PART_BYTES = 1 << 20


def damage_notices(data: bytes, header: JpegHeader, field: str) -> tuple[Notice, ...]:
    """Return a warning for a JPEG that is noise, or lacks some of its scans."""
    if copied_as_text(data):
        message = (
            "the JPEG is damaged: each line feed has a carriage return before it, as a copy in text mode "
            "puts there; copy the original in binary mode"
        )
    elif header.lacks_scans:
        message = (
            "the JPEG is incomplete: its last scans are missing, and with them details, colours or a part of "
            "the picture; copy the original again"
        )
    else:
        return ()
    return (Notice("damaged", message, field),)


def check_strips(image: ImageFile.ImageFile) -> None:
    """Raise Malformed for a TIFF of fewer strips or tiles than its rows need."""
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
    if len(offsets) < needed or 0 in offsets[:needed]:
        raise Malformed(f"{needed - sum(map(bool, offsets[:needed])):,} of its {needed:,} parts are missing")


def check_rows(image: ImageFile.ImageFile, data: bytes) -> None:
    """Raise Malformed for a loaded PNG whose pixels end early: Pillow leaves the rows that lack them 0.

    The pixels are only counted where a last row is all 0, for counting takes as long as decoding.
    """
    if image.format != "PNG":
        return
    width, height = image.size
    last = image.crop((0, max(height - 2, 0), width, height))
    if np.asarray(last).reshape(min(height, 2), -1).any(axis=1).all():
        return
    if not _unpacks_to(data, _png_bytes(data)):
        raise Malformed("its pixels end before its last row")


def _png_bytes(data: bytes) -> int:
    """Return how many bytes the pixels of a PNG have, each row with a byte for its filter."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _CHANNELS[colour]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def _unpacks_to(data: bytes, size: int) -> bool:
    """Return whether the compressed pixels of a PNG are at least `size` bytes."""
    unpacker, left = zlib.decompressobj(), size
    try:
        for part in (*(content for kind, content in png_chunks(data) if kind == b"IDAT"), b""):
            found = unpacker.decompress(part, _PART_BYTES)
            while found and left > 0:
                left -= len(found)
                found = unpacker.decompress(unpacker.unconsumed_tail, _PART_BYTES)
    except zlib.error:  # such as a wrong checksum behind pixels that Pillow took
        return True
    return left <= 0
