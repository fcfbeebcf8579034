"""Tests of JPEG markers, of JPEGs decoded at a smaller scale, and of limits from the environment."""

import io
import random
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from zfscope.errors import InputError, TooLarge
from zfscope.images.decode import decode, decode_grey, decode_photo, stored_size
from zfscope.images.geometry import Box
from zfscope.images.jpeg import read_jpeg
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.images.preprocess import Preprocessing, prepare, prepare_photo

Encode = Callable[..., bytes]
SCAN = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
VIDEO = random.Random(1).randbytes(200_000) + SCAN * 125 + b"\xff\xd9"


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 127 // width], axis=-1).astype(np.uint8)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize("progressive", [False, True])
def test_only_scans_of_the_first_image_are_counted(encoded: Encode, progressive: bool) -> None:
    data = encoded(smooth(64, 64), "JPEG", progressive=progressive)
    expected = 10 if progressive else 1
    assert read_jpeg(data).scans == expected
    assert read_jpeg(data + VIDEO).scans == expected
    assert read_jpeg(data[:-2]).scans == expected
    preview = segment(0xE1, b"Exif\0\0" + encoded(smooth(16, 16), "JPEG", progressive=True))
    assert read_jpeg(data[:2] + preview + data[2:]).scans == expected


def test_restart_markers_fill_bytes_and_junk_between_segments_do_not_count_as_scans(encoded: Encode) -> None:
    data = encoded(smooth(64, 64), "JPEG", restart_marker_blocks=1)
    assert read_jpeg(data).scans == 1
    start = data.index(b"\xff\xc0")
    assert read_jpeg(data[:start] + b"litter\xff\xff\xff" + data[start + 1 :]).scans == 1


def test_scans_after_junk_are_counted_like_libjpeg_reads_them(encoded: Encode) -> None:
    data = encoded(smooth(16, 16), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xc4")
    bomb = data[:-2] + (b"litter\0" + data[last:-2]) * 200 + data[-2:]
    with pytest.raises(TooLarge, match="is a JPEG file with 210 scans; allowed: at most 100"):
        decode(bomb)


def test_a_jpeg_with_too_many_segments_is_rejected(encoded: Encode) -> None:
    data = encoded(smooth(16, 16), "JPEG")
    with pytest.raises(InputError, match="damaged or incomplete JPEG file: it has more than 10,000 segments"):
        decode(data[:2] + segment(0xFE, b"") * 10_001 + data[2:])


@given(st.binary(max_size=300).map(lambda tail: b"\xff\xd8\xff" + tail))
def test_any_bytes_after_the_start_marker_are_accepted(data: bytes) -> None:
    assert read_jpeg(data).scans >= 0


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_data_after_the_image_is_ignored(name: str, encoded: Encode) -> None:
    data = encoded(smooth(40, 60), name)
    alone, followed = decode_photo(data), decode_photo(data + VIDEO)
    np.testing.assert_array_equal(followed.pixels, alone.pixels)
    assert followed.warnings == alone.warnings == ()


def test_a_second_image_after_the_first_is_ignored(encoded: Encode) -> None:
    """Phones store gain maps and stereo pairs like this (MPF)."""
    file = io.BytesIO()
    first, second = Image.fromarray(smooth(32, 48)), Image.fromarray(255 - smooth(32, 48))
    first.save(file, "MPO", save_all=True, append_images=[second])
    photo = decode_photo(file.getvalue())
    np.testing.assert_array_equal(photo.pixels, decode(encoded(first, "JPEG")))
    assert photo.warnings == ()


@pytest.mark.parametrize(
    ("marker", "bits", "kind"), [(0xC1, 12, "JPEG file of 12 bits per sample"), (0xF7, 8, "JPEG-LS file")]
)
def test_jpeg_ls_and_12_bit_jpegs_are_rejected_by_name(
    encoded: Encode, marker: int, bits: int, kind: str
) -> None:
    data = bytearray(encoded(smooth(16, 16), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 1], data[frame + 4] = marker, bits
    with pytest.raises(InputError, match=f"is a {kind}; allowed: 8-bit JPEG; convert to 8 bits"):
        decode(bytes(data))


PHOTO = smooth(900, 1201)
LIMITS = DecodeLimits(pixels=400_000)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_larger_jpeg_is_decoded_at_a_smaller_scale_in_original_coordinates(
    encoded: Encode, progressive: bool, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PHOTO, "JPEG", quality=95, progressive=progressive, exif=exif)
    photo = decode_photo(data, limits=LIMITS, field="image.encoded")
    full_scale = decode(data)
    assert photo.size == full_scale.shape[:2]
    assert photo.pixels.shape[:2] == ((450, 601) if orientation == 1 else (601, 450))
    (notice,) = photo.warnings
    assert (notice.code, notice.field) == ("smaller-scale", "image.encoded")
    assert notice.message == (
        "a JPEG of 1,201 x 900 pixels was decoded at 1/2 of its size: max_image_pixels is 400,000; "
        "positions refer to the original size"
    )
    preprocessing = Preprocessing()
    small, large = prepare_photo(photo, preprocessing), prepare(full_scale, preprocessing)
    np.testing.assert_allclose(small.views.astype(int), large.views.astype(int), atol=6)
    geometry, expected_geometry = small.geometries[0], large.geometries[0]
    assert geometry.photo_size == expected_geometry.photo_size
    for box in (Box(0, 0, 224, 224), Box(50, 60, 70, 90)):
        a, b = geometry.to_photo(box), expected_geometry.to_photo(box)
        assert (a.x0, a.y0, a.x1, a.y1) == pytest.approx((b.x0, b.y0, b.x1, b.y1), abs=1.5)
    assert stored_size(data, limits=LIMITS) == (900, 1201)


def test_a_jpeg_at_the_pixel_limit_is_decoded_at_full_scale(encoded: Encode) -> None:
    data = encoded(PHOTO, "JPEG")
    photo = decode_photo(data, limits=DecodeLimits(pixels=900 * 1201))
    np.testing.assert_array_equal(photo.pixels, decode(data))
    assert photo.warnings == ()


def test_a_jpeg_above_four_times_the_limit_is_rejected(encoded: Encode) -> None:
    message = r"has 1201 x 900 = 1,080,900 pixels; allowed: at most 270,000, 1,080,000 in a JPEG"
    with pytest.raises(TooLarge, match=message):
        decode(encoded(PHOTO, "JPEG"), limits=DecodeLimits(pixels=270_000))


def test_a_progressive_jpeg_that_costs_more_than_an_allowed_image_is_rejected(encoded: Encode) -> None:
    """Coefficients take 2 bytes per sample, or 6 per pixel without subsampling.

    At 3.8 times the pixel limit that is 22.8 bytes per allowed pixel; 10 are allowed.
    """
    data = encoded(PHOTO, "JPEG", progressive=True, subsampling=0)
    limits = DecodeLimits(pixels=285_000)
    assert read_jpeg(data).coefficients == 3 * 2 * 904 * 1208
    with pytest.raises(TooLarge, match="allowed: at most 285,000 with 10 scans; save it as a base"):
        decode(data, limits=limits)
    assert decode(encoded(PHOTO, "JPEG", subsampling=0), limits=limits).shape == (450, 601, 3)
    few = DecodeLimits(pixels=900_000, scans=11)
    with pytest.raises(TooLarge, match="allowed: at most 900,000 with 10 scans"):
        decode(data, limits=few)


def test_a_grey_mask_of_up_to_four_times_the_limit_is_decoded_at_full_scale(encoded: Encode) -> None:
    grey = PHOTO[..., 0]
    for picture in (grey, grey > 99):
        photo = decode_grey(encoded(Image.fromarray(picture), "PNG"), limits=LIMITS)
        assert (photo.size, photo.pixels.shape) == ((900, 1201), (900, 1201))
    np.testing.assert_array_equal(decode_grey(encoded(grey, "PNG"), limits=LIMITS).pixels, grey)
    with pytest.raises(TooLarge, match="allowed: at most 400,000"):
        decode_grey(encoded(PHOTO, "PNG"), limits=LIMITS)
    assert decode_grey(encoded(grey, "JPEG"), limits=LIMITS).pixels.shape == (450, 601)


def test_a_phone_photo_of_108_megapixels_is_decoded_by_default(encoded: Encode) -> None:
    photo = decode_photo(encoded(Image.new("L", (12_000, 9_000), 90), "JPEG"))
    assert (photo.size, photo.pixels.shape) == ((9_000, 12_000), (4_500, 6_000, 3))
    assert "was decoded at 1/2 of its size: max_image_pixels is 50,000,000" in photo.warnings[0].message


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, encoded: Encode) -> None:
    assert environment_limits() == DecodeLimits()
    monkeypatch.setenv("ZFSCOPE_MAX_IMAGE_PIXELS", "1000")
    monkeypatch.setenv("ZFSCOPE_MAX_IMAGE_BYTES", "2000")
    assert environment_limits() == DecodeLimits(pixels=1000, bytes=2000)
    with pytest.raises(TooLarge, match="allowed: at most 1,000"):
        decode(encoded(smooth(30, 40), "PNG"))


@pytest.mark.parametrize("text", ["many", "0", "-5", "1e9"])
def test_a_limit_that_is_not_a_positive_integer_is_rejected(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("ZFSCOPE_MAX_IMAGE_PIXELS", text)
    with pytest.raises(InputError, match=f"ZFSCOPE_MAX_IMAGE_PIXELS is '{text}'; allowed: integers of 1"):
        environment_limits()


def test_a_jpeg_that_was_copied_in_text_mode_gets_a_warning(encoded: Callable[..., bytes]) -> None:
    data = encoded(np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8), "JPEG")
    (notice,) = decode_photo(data.replace(b"\n", b"\r\n"), field="image.encoded").warnings
    assert (notice.code, notice.field) == ("damaged", "image.encoded")
    assert notice.message.endswith("as after a copy in text mode; copy the original in binary mode")
    assert decode_photo(data).warnings == ()
