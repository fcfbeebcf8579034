"""Image files built byte by byte or by tifffile, with properties that Pillow does not write."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from zfscope.images.decode import DecodedPhoto, decode_photo

NOISE = np.random.default_rng(7).integers(0, 65536, (40, 30, 4)).astype(np.uint16)
# Colour type of a PNG by its number of channels.
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG: length, type, content and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def grey_png(width: int, height: int, pixels: bytes, *extra: bytes, bits: int = 8) -> bytes:
    """Return a grey PNG. pixels: compressed pixel data. extra: chunks before it."""
    return _png((width, height, bits, 0), extra, pixels)


def png_16_bit(values: NDArray[Any], *extra: bytes) -> bytes:
    """Return a PNG with 16 bits per channel. values: (height, width, channels). extra: chunks before them."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return _png((width, height, 16, _COLOUR_TYPES[channels]), extra, zlib.compress(rows))


def _png(header: tuple[int, int, int, int], extra: tuple[bytes, ...], pixels: bytes) -> bytes:
    start = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
    end = png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + start + b"".join(extra) + end


def webp_header(width: int, height: int) -> bytes:
    """Return the start of a WebP file with the given size and without pixels."""
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    extended = b"VP8X" + struct.pack("<I", 10) + bytes([2, 0, 0, 0]) + size
    return b"RIFF" + struct.pack("<I", len(extended) + 4) + b"WEBP" + extended


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    """Return a TIFF of (height, width) or (height, width, channels). options: those of tifffile."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    file = io.BytesIO()
    photometric = options.pop("photometric", "minisblack" if values.ndim == 2 else "rgb")
    tifffile.imwrite(file, values, photometric=photometric, metadata=None, **options)
    return file.getvalue()


def decode_encoded(data: bytes) -> DecodedPhoto:
    """Decode a file, named `image.encoded` in warnings and errors."""
    return decode_photo(data, field="image.encoded")


def depth_warning(photo: DecodedPhoto) -> str:
    """Return the message of the only warning, which must be about the bit depth."""
    (notice,) = photo.warnings
    assert (notice.code, notice.field) == ("assumed-bit-depth", "image.encoded")
    return notice.message
