"""The frames of an AVIF are measured by their own stream, whatever its header states."""

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


def understated(data: bytes, size: tuple[int, int]) -> bytes:
    """The same file, of which the header states another size."""
    changed = bytearray(data)
    place = changed.index(b"ispe")
    changed[place + 8 : place + 16] = struct.pack(">II", *size)
    return bytes(changed)


@pytest.mark.parametrize("size", [(1, 1), (40, 60), (300, 257), (1024, 64)])
def test_the_frame_of_a_photo_has_its_size(size: tuple[int, int]) -> None:
    assert frame_pixels(avif(Image.new("RGB", size))) == size[0] * size[1]


def test_opacity_is_a_frame_of_its_own() -> None:
    assert frame_pixels(avif(Image.new("RGBA", (40, 60), (1, 2, 3, 4)))) == 2 * 40 * 60


def test_of_an_animation_the_first_frame_of_its_track_counts_and_its_cover() -> None:
    frames = [Image.new("RGB", (40, 60), colour) for colour in ("red", "green", "blue")]
    data = avif(frames[0], save_all=True, append_images=frames[1:])
    assert frame_pixels(data) in (40 * 60, 2 * 40 * 60)
    found = decode_photo(data)
    assert [notice.code for notice in found.warnings] == ["first-frame"]
    np.testing.assert_allclose(found.pixels[30, 20].astype(int), [255, 0, 0], atol=12)


def test_a_frame_that_is_larger_than_its_file_states_is_refused_before_it_is_unpacked() -> None:
    bomb = understated(avif(Image.new("L", (4000, 3000))), (10, 10))
    assert len(bomb) < 2000
    with pytest.raises(TooLarge, match="holds frames of 12,000,000 pixels; at most 4,000,000 are allowed"):
        decode(bomb, limits=DecodeLimits(pixels=1_000_000))


def test_a_photo_at_the_limit_with_opacity_is_decoded() -> None:
    data = avif(Image.new("RGBA", (40, 60), (200, 100, 50, 255)))
    assert decode(data, limits=DecodeLimits(pixels=2400)).shape == (60, 40, 3)
    with pytest.raises(TooLarge, match="at most 2,399 are allowed"):
        decode(data, limits=DecodeLimits(pixels=2399))


@pytest.mark.parametrize("box", [b"iloc", b"infe", b"meta", b"iinf", b"mdat", b"stsz", b"av01"])
@given(tail=st.binary(max_size=40))
def test_broken_boxes_are_the_file_s_fault(box: bytes, tail: bytes) -> None:
    data = avif(Image.new("RGB", (16, 16)))
    place = data.find(box)
    if place < 0:
        return
    broken = data[: place + 4] + tail + data[place + 4 + len(tail) :]
    try:
        decode(broken)
    except InputError as error:
        assert error.message.startswith("image ")  # noqa: PT017


def test_a_file_of_endless_boxes_is_given_up(encoded: Callable[..., bytes]) -> None:
    data = avif(Image.new("RGB", (16, 16)))
    with pytest.raises(InputError, match="damaged or incomplete AVIF file: more than 50,000 boxes and units"):
        decode(data + (8).to_bytes(4) + b"free" * 1 + ((8).to_bytes(4) + b"free") * 50_001)
