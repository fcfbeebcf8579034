"""JPEGs: what their markers say up to the end of the first image, and larger ones at a smaller scale."""

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
def test_scans_are_counted_up_to_the_end_of_the_first_image(encoded: Encode, progressive: bool) -> None:
    data = encoded(smooth(64, 64), "JPEG", progressive=progressive)
    expected = 10 if progressive else 1
    assert read_jpeg(data).scans == expected
    assert read_jpeg(data + VIDEO).scans == expected
    assert read_jpeg(data[:-2]).scans == expected
    preview = segment(0xE1, b"Exif\0\0" + encoded(smooth(16, 16), "JPEG", progressive=True))
    assert read_jpeg(data[:2] + preview + data[2:]).scans == expected


def test_restart_markers_fill_bytes_and_litter_between_segments_are_no_scans(encoded: Encode) -> None:
    data = encoded(smooth(64, 64), "JPEG", restart_marker_blocks=1)
    assert read_jpeg(data).scans == 1
    start = data.index(b"\xff\xc0")
    assert read_jpeg(data[:start] + b"litter\xff\xff\xff" + data[start + 1 :]).scans == 1


def test_scans_behind_litter_are_counted_as_libjpeg_reads_them(encoded: Encode) -> None:
    data = encoded(smooth(16, 16), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xc4")
    bomb = data[:-2] + (b"litter\0" + data[last:-2]) * 200 + data[-2:]
    with pytest.raises(TooLarge, match="is a JPEG of 210 scans; at most 100 are allowed"):
        decode(bomb)


def test_a_jpeg_of_endless_tiny_segments_is_given_up(encoded: Encode) -> None:
    data = encoded(smooth(16, 16), "JPEG")
    with pytest.raises(InputError, match="damaged or incomplete JPEG file: more than 10,000 segments"):
        decode(data[:2] + segment(0xFE, b"") * 10_001 + data[2:])


@given(st.binary(max_size=300).map(lambda tail: b"\xff\xd8\xff" + tail))
def test_any_bytes_have_markers(data: bytes) -> None:
    assert read_jpeg(data).scans >= 0


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_what_stands_behind_a_picture_changes_nothing(name: str, encoded: Encode) -> None:
    data = encoded(smooth(40, 60), name)
    alone, followed = decode_photo(data), decode_photo(data + VIDEO)
    np.testing.assert_array_equal(followed.pixels, alone.pixels)
    assert followed.warnings == alone.warnings == ()


def test_a_second_picture_behind_the_first_is_passed_over(encoded: Encode) -> None:
    """As phones store gain maps and stereo pairs (MPF)."""
    file = io.BytesIO()
    first, second = Image.fromarray(smooth(32, 48)), Image.fromarray(255 - smooth(32, 48))
    first.save(file, "MPO", save_all=True, append_images=[second])
    found = decode_photo(file.getvalue())
    np.testing.assert_array_equal(found.pixels, decode(encoded(first, "JPEG")))
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("marker", "bits", "kind"), [(0xC1, 12, "of 12 bits a sample"), (0xF7, 8, "of JPEG-LS")]
)
def test_jpegs_that_pillow_does_not_read_are_named(
    encoded: Encode, marker: int, bits: int, kind: str
) -> None:
    data = bytearray(encoded(smooth(16, 16), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 1], data[frame + 4] = marker, bits
    with pytest.raises(InputError, match=f"is a JPEG file {kind}, which is not read; convert to 8 bits"):
        decode(bytes(data))


PHOTO = smooth(900, 1201)
LIMITS = DecodeLimits(pixels=400_000)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_larger_jpeg_is_decoded_at_a_smaller_scale_in_its_own_coordinates(
    encoded: Encode, progressive: bool, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PHOTO, "JPEG", quality=95, progressive=progressive, exif=exif)
    found = decode_photo(data, limits=LIMITS, field="image.encoded")
    whole = decode(data)
    assert found.size == whole.shape[:2]
    assert found.pixels.shape[:2] == ((450, 601) if orientation == 1 else (601, 450))
    (notice,) = found.warnings
    assert (notice.code, notice.field) == ("smaller-scale", "image.encoded")
    assert notice.message == (
        "a JPEG of 1,201 x 900 pixels was decoded at 1/2 of its size, since at most 400,000 pixels are "
        "allowed (max_image_pixels); positions are those of the whole photo"
    )
    steps = Preprocessing()
    small, large = prepare_photo(found, steps), prepare(whole, steps)
    np.testing.assert_allclose(small.views.astype(int), large.views.astype(int), atol=6)
    mine, its = small.geometries[0], large.geometries[0]
    assert mine.photo_size == its.photo_size
    for box in (Box(0, 0, 224, 224), Box(50, 60, 70, 90)):
        a, b = mine.to_photo(box), its.to_photo(box)
        assert (a.x0, a.y0, a.x1, a.y1) == pytest.approx((b.x0, b.y0, b.x1, b.y1), abs=1.5)
    assert stored_size(data, limits=LIMITS) == (900, 1201)


def test_up_to_the_limit_every_pixel_is_decoded(encoded: Encode) -> None:
    data = encoded(PHOTO, "JPEG")
    found = decode_photo(data, limits=DecodeLimits(pixels=900 * 1201))
    np.testing.assert_array_equal(found.pixels, decode(data))
    assert found.warnings == ()


def test_a_jpeg_over_four_times_the_limit_is_refused(encoded: Encode) -> None:
    message = r"picture of 1201 x 900 = 1,080,900 pixels; at most 270,000 are allowed, 1,080,000 in a JPEG"
    with pytest.raises(TooLarge, match=message):
        decode(encoded(PHOTO, "JPEG"), limits=DecodeLimits(pixels=270_000))


def test_a_progressive_jpeg_may_not_cost_more_than_an_allowed_picture(encoded: Encode) -> None:
    """Coefficients: 2 bytes of each sample, 6 of a pixel without subsampling; 3.8 times the limit is 22.8."""
    data = encoded(PHOTO, "JPEG", progressive=True, subsampling=0)
    limits = DecodeLimits(pixels=285_000)
    assert read_jpeg(data).coefficients == 3 * 2 * 904 * 1208
    with pytest.raises(TooLarge, match="with 10 scans at most 285,000 are allowed: save it as a base"):
        decode(data, limits=limits)
    assert decode(encoded(PHOTO, "JPEG", subsampling=0), limits=limits).shape == (450, 601, 3)
    few = DecodeLimits(pixels=900_000, scans=11)
    with pytest.raises(TooLarge, match="with 10 scans at most 900,000 are allowed"):
        decode(data, limits=few)


def test_a_grey_mask_may_have_four_times_the_pixels_and_keeps_them(encoded: Encode) -> None:
    grey = PHOTO[..., 0]
    for picture in (grey, grey > 99):
        found = decode_grey(encoded(Image.fromarray(picture), "PNG"), limits=LIMITS)
        assert (found.size, found.pixels.shape) == ((900, 1201), (900, 1201))
    np.testing.assert_array_equal(decode_grey(encoded(grey, "PNG"), limits=LIMITS).pixels, grey)
    with pytest.raises(TooLarge, match="at most 400,000 are allowed"):
        decode_grey(encoded(PHOTO, "PNG"), limits=LIMITS)
    assert decode_grey(encoded(grey, "JPEG"), limits=LIMITS).pixels.shape == (450, 601)


def test_a_phone_photo_of_108_megapixels_is_decoded_by_default(encoded: Encode) -> None:
    found = decode_photo(encoded(Image.new("L", (12_000, 9_000), 90), "JPEG"))
    assert (found.size, found.pixels.shape) == ((9_000, 12_000), (4_500, 6_000, 3))
    assert "was decoded at 1/2 of its size, since at most 50,000,000 pixels" in found.warnings[0].message


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, encoded: Encode) -> None:
    assert environment_limits() == DecodeLimits()
    monkeypatch.setenv("ZFSCOPE_MAX_IMAGE_PIXELS", "1000")
    monkeypatch.setenv("ZFSCOPE_MAX_IMAGE_BYTES", "2000")
    assert environment_limits() == DecodeLimits(pixels=1000, bytes=2000)
    with pytest.raises(TooLarge, match="at most 1,000 are allowed"):
        decode(encoded(smooth(30, 40), "PNG"))


@pytest.mark.parametrize("text", ["many", "0", "-5", "1e9"])
def test_a_limit_that_is_not_a_number_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ZFSCOPE_MAX_IMAGE_PIXELS", text)
    with pytest.raises(InputError, match=f"ZFSCOPE_MAX_IMAGE_PIXELS is '{text}'; allowed are whole numbers"):
        environment_limits()


def test_a_jpeg_that_was_copied_in_text_mode_is_said_to_be_damaged(encoded: Callable[..., bytes]) -> None:
    data = encoded(np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8), "JPEG")
    (notice,) = decode_photo(data.replace(b"\n", b"\r\n"), field="image.encoded").warnings
    assert (notice.code, notice.field) == ("damaged", "image.encoded")
    assert notice.message.endswith("as a copy in text mode puts there; copy the original in binary mode")
    assert decode_photo(data).warnings == ()
