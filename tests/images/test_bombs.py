"""Tests of image sizes that are read from the bytes because Pillow would allocate too much."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from zfscope.images.bombs import gif_has_several_frames, gif_size, tiff_tile_size


def gif(
    screen: tuple[int, int], frame: tuple[int, int, int, int], *, palette: bool, before: bytes = b""
) -> bytes:
    header = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80 if palette else 0, 0, 0)
    descriptor = b"," + struct.pack("<HHHHB", *frame, 0)
    return header + bytes(6 if palette else 0) + before + descriptor + b"\x02\x02\x44\x01\x00;"


@pytest.mark.parametrize("palette", [True, False])
@pytest.mark.parametrize("before", [b"", b"\x21\xf9\x04\0\0\0\0\0", b"\x21\xfe\x03abc\x02de\0" * 3])
def test_gif_size_covers_screen_and_first_frame(palette: bool, before: bytes) -> None:
    assert gif_size(gif((40, 30), (0, 0, 20, 10), palette=palette, before=before)) == (40, 30)
    assert gif_size(gif((40, 30), (5, 7, 40, 30), palette=palette, before=before)) == (45, 37)


def test_gif_size_matches_pillow(
    encoded: Callable[..., bytes], noise: Callable[..., NDArray[np.uint8]]
) -> None:
    data = encoded(Image.fromarray(noise(31, 17)).quantize(64), "GIF", comment=b"x" * 1000)
    assert gif_size(data) == (17, 31)


def test_a_truncated_gif_raises_index_error() -> None:
    with pytest.raises(IndexError):
        gif_size(gif((40, 30), (0, 0, 40, 30), palette=True)[:18])


@pytest.mark.parametrize("before", [b"\x21\xfe" + b"\x01a" * 100_001 + b"\0", b"\x21\xfe\0" * 100_001])
def test_a_gif_with_too_many_blocks_is_rejected(before: bytes) -> None:
    with pytest.raises(ValueError, match="more than 100,000 blocks before the first frame"):
        gif_size(gif((4, 4), (0, 0, 4, 4), palette=False, before=before))


def test_tile_size_is_zero_for_strips_and_other_formats(
    encoded: Callable[..., bytes], noise: Callable[..., NDArray[np.uint8]]
) -> None:
    data = encoded(noise(8, 8), "TIFF")
    assert tiff_tile_size(TiffImageFile(io.BytesIO(data))) == (0, 0)
    png = Image.open(io.BytesIO(encoded(noise(8, 8), "PNG")))
    assert tiff_tile_size(png) == (0, 0)


def test_a_second_gif_frame_is_found_after_extensions() -> None:
    one = gif((4, 4), (0, 0, 4, 4), palette=True)
    between = b"\x21\xf9\x04\0\0\0\0\0" + b"\x21\xfe\x03abc\0"
    assert gif_has_several_frames(one[:-1] + between + one[19:])
    assert not gif_has_several_frames(one)
    assert not gif_has_several_frames(one[:-1] + between)
    assert not gif_has_several_frames(one[:-1])


def test_the_search_for_a_second_gif_frame_stops_after_too_many_blocks() -> None:
    one = gif((4, 4), (0, 0, 4, 4), palette=False)
    assert not gif_has_several_frames(one[:-1] + b"\x21\xfe\0" * 100_001 + one[13:])
