"""Tests of the limits of image files, which hold before any pixel is unpacked."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.image_files import grey_png, png_chunk, webp_header
from zfscope.errors import InputError, TooLarge
from zfscope.images.decode import decode, stored_size
from zfscope.images.limits import DecodeLimits

Rgb = NDArray[np.uint8]
Encode = Callable[..., bytes]
Noise = Callable[..., Rgb]


def assert_rejected(data: bytes, message: str, **options: Any) -> InputError:
    with pytest.raises(InputError, match=message) as error:
        decode(data, **options)
    return error.value


def pixel_bomb() -> bytes:
    """Return a valid PNG of 30000 x 30000 pixels in about 100 kB."""
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(bytes(1 + 30_000 // 8)) for _ in range(30_000)) + packer.flush()
    return grey_png(30_000, 30_000, pixels, bits=1)


def gif_with_large_frame() -> bytes:
    """Return a GIF of 4 x 4 pixels with a frame of 9000 x 9000, which is disposed to the background."""
    control = b"\x21\xf9\x04" + bytes([0b1001, 0, 0, 0, 0])
    frame = b"," + struct.pack("<HHHHB", 0, 0, 9000, 9000, 0) + b"\x02\x02\x44\x01\x00;"
    return b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6) + control + frame


def tiff_with_large_tile() -> bytes:
    """Return a TIFF of 10 x 10 pixels in one deflated tile of 8000 x 8000."""
    pixels = zlib.compress(bytes(8000 * 8000), 9)
    pixels += bytes(len(pixels) % 2)
    tags = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (277, 1), (322, 8000), (323, 8000), (324, 8)]
    tags.append((325, len(pixels)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(pixels))
        + pixels
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


def test_only_files_above_the_byte_limit_are_rejected(noise: Noise, encoded: Encode) -> None:
    data = encoded(noise(9, 9), "PNG")
    assert decode(data, limits=DecodeLimits(bytes=len(data))).shape == (9, 9, 3)
    message = rf"^image has {len(data)} bytes; allowed: at most {len(data) - 1}$"
    error = assert_rejected(data, message, limits=DecodeLimits(bytes=len(data) - 1))
    assert isinstance(error, TooLarge)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_only_images_above_the_pixel_limit_are_rejected(name: str, noise: Noise, encoded: Encode) -> None:
    data = encoded(noise(30, 40), name)
    assert decode(data, limits=DecodeLimits(pixels=1200)).shape == (30, 40, 3)
    message = r"^image has 40 x 30 = 1,200 pixels; allowed: at most 1,199$"
    if name == "JPEG":  # decoded at a smaller scale, up to four times the limit
        assert decode(data, limits=DecodeLimits(pixels=1199)).shape == (15, 20, 3)
        message = r"^image has 40 x 30 = 1,200 pixels; allowed: at most 299, 1,196 in a JPEG$"
    limits = DecodeLimits(pixels=299 if name == "JPEG" else 1199)
    assert isinstance(assert_rejected(data, message, limits=limits), TooLarge)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_size_is_read_without_unpacking_pixels(name: str, noise: Noise, encoded: Encode) -> None:
    data = encoded(noise(30, 40), name)
    Image.core.reset_stats()  # type: ignore[attr-defined]
    assert stored_size(data) == (30, 40)
    assert Image.core.get_stats()["new_count"] == 0  # type: ignore[attr-defined]


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "png": (pixel_bomb, "30000 x 30000 = 900,000,000 pixels; allowed: at most 50,000,000"),
    "gif": (gif_with_large_frame, "9000 x 9000 = 81,000,000 pixels; allowed: at most 50,000,000"),
    "tiff": (tiff_with_large_tile, "tiles of 8000 x 8000 = 64,000,000 pixels; allowed: at most 50,000,000"),
    "webp": (
        lambda: webp_header(16_000, 16_000),
        "WEBP file with far too many pixels; allowed: at most 50,000,000",
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_rejected_before_pixels_are_unpacked(kind: str) -> None:
    make, message = BOMBS[kind]
    data = make()
    assert len(data) < 120_000
    Image.core.reset_stats()  # type: ignore[attr-defined]
    tracemalloc.start()
    assert isinstance(assert_rejected(data, message), TooLarge)
    python_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    images_created = Image.core.get_stats()["new_count"]  # type: ignore[attr-defined]
    assert images_created == 0
    assert python_bytes < 2_000_000


def test_a_jpeg_with_too_many_scans_is_rejected(encoded: Encode, noise: Noise) -> None:
    data = encoded(noise(16, 16), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xc4")
    bomb = data[:-2] + data[last:-2] * 200 + data[-2:]
    assert_rejected(bomb, "^image is a JPEG file with 210 scans; allowed: at most 100$")


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_text_chunk_that_unpacks_to_megabytes_is_rejected(kind: bytes) -> None:
    packed = zlib.compress(bytes(30_000_000), 9)
    content = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\x01\0\0\0", b"iCCP": b"a\0\0"}[kind] + packed
    data = grey_png(1, 1, zlib.compress(bytes(2)), png_chunk(kind, content))
    tracemalloc.start()
    assert_rejected(data, "^image is a damaged or incomplete PNG file: Decompressed data too large")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_text_chunks_that_unpack_to_megabytes_in_total_are_rejected() -> None:
    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
    data = grey_png(1, 1, zlib.compress(bytes(2)), *[text] * 80)
    assert_rejected(data, "^image is a damaged or incomplete PNG file: Too much memory used in text chunks")


@pytest.mark.parametrize("kind", [b"abCd", b"IDAT"])
def test_a_png_with_too_many_chunks_is_rejected(kind: bytes) -> None:
    def with_chunks(count: int) -> bytes:
        return grey_png(1, 1, zlib.compress(bytes(2)), *[png_chunk(kind, b"")] * count)

    assert_rejected(
        with_chunks(100_001), "^image is a damaged or incomplete PNG file: it has more than 100,000 chunks$"
    )
    assert decode(with_chunks(1_000) + png_chunk(kind, b"") * 100_001).shape == (1, 1, 3)


def test_pillows_pixel_limit_raises_too_large_if_the_configured_limit_is_higher(encoded: Encode) -> None:
    """Pillow refuses to unpack more than 179 million pixels of a TIFF, whatever the configured limits."""
    header = io.BytesIO()
    Image.new("L", (1, 1)).save(header, "TIFF")
    large = header.getvalue().replace(
        struct.pack("<HHII", 256, 4, 1, 1), struct.pack("<HHII", 256, 4, 1, 20_000)
    )
    large = large.replace(struct.pack("<HHII", 257, 4, 1, 1), struct.pack("<HHII", 257, 4, 1, 20_000))
    message = "^image is a TIFF file with far too many pixels; allowed: at most 1,000,000,000$"
    assert_rejected(large, message, limits=DecodeLimits(pixels=10**9))
