"""Tests of AVIF frame sizes, which are read from the AV1 streams, not from the header of the file."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zfscope.errors import InputError, TooLarge
from zfscope.images.av1 import frame_pixels
from zfscope.images.decode import decode, decode_photo
from zfscope.images.limits import DecodeLimits


def avif(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "AVIF", speed=10, **options)
    return file.getvalue()


def with_declared_size(data: bytes, size: tuple[int, int]) -> bytes:
    """Return the file with another size declared in its header."""
    changed = bytearray(data)
    position = changed.index(b"ispe")
    changed[position + 8 : position + 16] = struct.pack(">II", *size)
    return bytes(changed)


@pytest.mark.parametrize("size", [(1, 1), (40, 60), (300, 257), (1024, 64)])
def test_frame_pixels_of_a_photo_match_its_size(size: tuple[int, int]) -> None:
    assert frame_pixels(avif(Image.new("RGB", size))) == size[0] * size[1]


def test_alpha_counts_as_another_frame() -> None:
    assert frame_pixels(avif(Image.new("RGBA", (40, 60), (1, 2, 3, 4)))) == 2 * 40 * 60


def test_an_animation_counts_its_first_frame_and_its_cover() -> None:
    frames = [Image.new("RGB", (40, 60), colour) for colour in ("red", "green", "blue")]
    data = avif(frames[0], save_all=True, append_images=frames[1:])
    assert frame_pixels(data) in (40 * 60, 2 * 40 * 60)
    photo = decode_photo(data)
    assert [notice.code for notice in photo.warnings] == ["first-frame"]
    np.testing.assert_allclose(photo.pixels[30, 20].astype(int), [255, 0, 0], atol=12)


def test_a_frame_larger_than_the_declared_size_is_rejected_before_unpacking() -> None:
    bomb = with_declared_size(avif(Image.new("L", (4000, 3000))), (10, 10))
    assert len(bomb) < 2000
    with pytest.raises(TooLarge, match="has frames of 12,000,000 pixels in all; allowed: at most 4,000,000"):
        decode(bomb, limits=DecodeLimits(pixels=1_000_000))


def test_a_photo_with_alpha_at_the_pixel_limit_is_decoded() -> None:
    data = avif(Image.new("RGBA", (40, 60), (200, 100, 50, 255)))
    assert decode(data, limits=DecodeLimits(pixels=2400)).shape == (60, 40, 3)
    with pytest.raises(TooLarge, match="allowed: at most 2,399"):
        decode(data, limits=DecodeLimits(pixels=2399))


@pytest.mark.parametrize("box", [b"iloc", b"infe", b"meta", b"iinf", b"mdat", b"stsz", b"av01"])
@given(tail=st.binary(max_size=40))
def test_broken_boxes_raise_an_input_error(box: bytes, tail: bytes) -> None:
    data = avif(Image.new("RGB", (16, 16)))
    position = data.find(box)
    if position < 0:
        return
    broken = data[: position + 4] + tail + data[position + 4 + len(tail) :]
    try:
        decode(broken)
    except InputError as error:
        assert error.message.startswith("image ")  # noqa: PT017


def test_a_file_with_too_many_boxes_is_rejected(encoded: Callable[..., bytes]) -> None:
    data = avif(Image.new("RGB", (16, 16)))
    with pytest.raises(
        InputError, match="damaged or incomplete AVIF file: it has more than 50,000 boxes and units"
    ):
        decode(data + (8).to_bytes(4) + b"free" * 1 + ((8).to_bytes(4) + b"free") * 50_001)
