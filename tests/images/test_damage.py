"""Tests of damage that decoders do not report: missing rows, scans, strips and tiles."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.support.image_files import png_chunk
from zfscope.errors import InputError
from zfscope.images.decode import decode, decode_grey, decode_photo
from zfscope.images.limits import DecodeLimits

Encode = Callable[..., bytes]
END = b"\xff\xd9"
# Pillow reports some cases itself.
EARLY_END = "(its pixel data ends before the last row|it is truncated)"


def smooth_photo(height: int, width: int) -> NDArray[np.uint8]:
    """Return a photo of smooth colours and some noise, so that every block has data."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 200 // width, y * 200 // height, (x + y) * 100 // width], axis=-1)
    return (smooth + np.random.default_rng(3).integers(0, 40, smooth.shape)).astype(np.uint8)


def png(pixels: bytes, size: tuple[int, int], *, interlaced: bool = False, parts: int = 1) -> bytes:
    """Return an 8-bit grey PNG. pixels: all rows, each with its filter byte. parts: number of IDAT chunks."""
    packed = zlib.compress(pixels)
    step = -(-len(packed) // parts)
    data = b"".join(png_chunk(b"IDAT", packed[start : start + step]) for start in range(0, len(packed), step))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, int(interlaced)))
    return b"\x89PNG\r\n\x1a\n" + header + data + png_chunk(b"IEND", b"")


def codes(data: bytes) -> list[str]:
    return [notice.code for notice in decode_photo(data).warnings]


JPEGS: dict[str, dict[str, Any]] = {
    "colour": {},
    "full colour": {"subsampling": 0, "quality": 95},
    "optimised": {"optimize": True, "quality": 30},
    "restarts": {"restart_marker_rows": 1},
    "restarts in a row": {"restart_marker_blocks": 3},
}


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("share", [0.35, 0.6, 0.97])
def test_a_truncated_jpeg_with_an_end_marker_is_rejected(kind: str, share: float, encoded: Encode) -> None:
    data = encoded(smooth_photo(96, 128), "JPEG", **JPEGS[kind])
    cut = data[: data.index(b"\xff\xda") + int(share * (len(data) - data.index(b"\xff\xda")))]
    for end in (END, END + b"video after the end", b"\xff\xfe\0\x04no" + END):
        with pytest.raises(
            InputError, match=r"^image is a damaged or incomplete JPEG file: it is truncated$"
        ):
            decode(cut + end)


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("size", [(8, 8), (96, 128), (97, 131)])
def test_complete_jpegs_are_decoded_exactly(kind: str, size: tuple[int, int], encoded: Encode) -> None:
    for mode in ("RGB", "L", "CMYK"):
        image = Image.fromarray(smooth_photo(*size)).convert(mode)
        data = encoded(image, "JPEG", **JPEGS[kind])
        expected = Image.open(io.BytesIO(data)).convert("RGB")
        for after in (b"", random.Random(1).randbytes(500)):
            np.testing.assert_array_equal(decode(data + after), np.asarray(expected))


def test_a_truncated_jpeg_is_rejected_at_a_smaller_scale(encoded: Encode) -> None:
    data = encoded(smooth_photo(96, 128), "JPEG")
    limits = DecodeLimits(pixels=96 * 128 // 2)
    assert decode(data, limits=limits).shape == (48, 64, 3)
    with pytest.raises(InputError, match="it is truncated"):
        decode(data[: len(data) // 2] + END, limits=limits)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_progressive_jpeg_without_its_last_scans_gets_a_warning(mode: str, encoded: Encode) -> None:
    image = Image.fromarray(smooth_photo(96, 128)).convert(mode)
    data = encoded(image, "JPEG", progressive=True, quality=90)
    assert codes(data) == []
    scans = [position for position in range(len(data)) if data[position : position + 2] == b"\xff\xda"]
    for position in scans[1:]:
        assert codes(data[: data.rindex(b"\xff\xc4", 0, position)] + END) == ["damaged"], position
    (notice,) = decode_photo(
        data[: data.rindex(b"\xff\xc4", 0, scans[2])] + END, field="images[1].encoded"
    ).warnings
    assert notice.field == "images[1].encoded"
    assert notice.message.startswith("the JPEG is incomplete: its last scans are missing")


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("rows", [0, 1, 20, 38])
def test_a_png_whose_pixel_data_ends_early_is_rejected(rows: int, parts: int) -> None:
    rows_data = b"".join(b"\0" + row.tobytes() for row in smooth_photo(40, 30)[..., 0] | 1)
    assert decode(png(rows_data, (30, 40), parts=parts)).shape == (40, 30, 3)
    broken = png(rows_data[: 31 * rows], (30, 40), parts=parts)
    for read in (decode, decode_grey):
        with pytest.raises(InputError, match=f"incomplete PNG file: {EARLY_END}$"):
            read(broken)


@pytest.mark.parametrize("size", [(30, 40), (31, 41), (1, 1), (3, 2)])
def test_a_complete_png_with_black_last_rows_is_decoded(size: tuple[int, int]) -> None:
    rows_data = bytes((size[0] + 1) * size[1])
    for parts in (1, 3):
        np.testing.assert_array_equal(
            decode(png(rows_data, size, parts=parts)), np.zeros((size[1], size[0], 3))
        )


@pytest.mark.parametrize("size", [(30, 40), (31, 41), (9, 9)])
def test_the_data_of_an_interlaced_png_is_counted_by_pass(size: tuple[int, int]) -> None:
    width, height = size
    passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    black = np.zeros((height, width), np.uint8)
    rows = b"".join(
        b"\0" + row.tobytes() for x, y, dx, dy in passes for row in black[y::dy, x::dx] if row.size
    )
    assert decode(png(rows, size, interlaced=True)).shape == (height, width, 3)
    with pytest.raises(InputError, match=EARLY_END):
        decode(png(rows[:-1], size, interlaced=True))


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, metadata=None, **options)
    return file.getvalue()


def without_last_offset(data: bytes, tag: int) -> bytes:
    """Return the file without the offset of its last strip or tile."""
    changed = bytearray(data)
    position = struct.unpack_from("<I", data, 4)[0] + 2
    while struct.unpack_from("<H", data, position)[0] != tag:
        position += 12
    count = struct.unpack_from("<I", data, position + 4)[0]
    changed[position + 4 : position + 8] = struct.pack("<I", count - 1)
    return bytes(changed)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("options", "tag"), [({"rowsperstrip": 8}, 273), ({"tile": (16, 16)}, 324)])
def test_a_tiff_with_missing_strips_or_tiles_is_rejected(
    options: dict[str, Any], tag: int, compression: str | None
) -> None:
    values = smooth_photo(48, 40)
    data = tiff(values, photometric="rgb", compression=compression, **options)
    np.testing.assert_array_equal(decode(data), values)
    reason = (
        "its contents are invalid"
        if compression
        else f"1 of its {6 if tag == 273 else 9} strips or tiles are missing"
    )
    with pytest.raises(InputError, match=f"^image is a damaged or incomplete TIFF file: {reason}$"):
        decode(without_last_offset(data, tag))
