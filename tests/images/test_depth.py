"""Tests of the conversion of 16-bit pixels: the bit depth that is assumed, and the warning about it."""

import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.image_files import NOISE, decode_encoded, depth_warning, png_16_bit, png_chunk, tiff
from zfscope.errors import InputError

FILES = {
    "PNG": png_16_bit,
    "TIFF": tiff,
    "big-endian TIFF": lambda values: tiff(values, byteorder=">"),
    "deflated TIFF": lambda values: tiff(values, compression="zlib", predictor=True),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_values_of_fewer_bits_are_scaled_by_their_depth_with_a_warning(
    file: str, channels: int, bits: int
) -> None:
    values = NOISE[..., :channels] >> (16 - bits)
    values[3, 4] = 2**bits - 1
    photo = decode_encoded(FILES[file](values))
    expected = np.broadcast_to(np.round(values / (2**bits - 1) * 255), photo.pixels.shape)
    np.testing.assert_array_equal(photo.pixels, expected)
    times = {8: 257, 10: 64, 12: 16, 14: 4}[bits]
    assert depth_warning(photo) == (
        f"16-bit pixels with values up to {2**bits - 1:,} were read as {bits}-bit, {times} times as bright; "
        "if the image really is that dark, scale its values to 16 bits"
    )


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("channels", [1, 3])
def test_values_of_the_full_range_are_read_as_16_bit(file: str, channels: int) -> None:
    photo = decode_encoded(FILES[file](NOISE[..., :channels]))
    assert photo.warnings == ()
    np.testing.assert_allclose(
        photo.pixels, np.broadcast_to(NOISE[..., :channels] / 257, photo.pixels.shape), atol=1
    )


@pytest.mark.parametrize("opaque", [4095, 65535])
def test_alpha_may_use_the_full_range_if_the_colours_do_not(opaque: int) -> None:
    values = NOISE >> 4
    values[..., 3] = opaque
    values[0, :, 3] = 0
    photo = decode_encoded(png_16_bit(values))
    assert [notice.code for notice in photo.warnings] == ["assumed-bit-depth", "transparency"]
    assert "read as 12-bit" in photo.warnings[0].message
    np.testing.assert_allclose(photo.pixels[1:], values[1:, :, :3] / 4095 * 255, atol=0.6)
    assert (photo.pixels[0] == 128).all()


def test_the_depth_of_grey_with_alpha_is_inferred() -> None:
    values = NOISE[..., :2] >> 4
    values[..., 1] = 65535
    photo = decode_encoded(png_16_bit(values))
    assert "read as 12-bit" in depth_warning(photo)
    np.testing.assert_allclose(photo.pixels[..., 0], values[..., 0] / 4095 * 255, atol=0.6)


@pytest.mark.parametrize("channels", [1, 3])
def test_significant_bits_of_a_png_take_precedence_over_the_brightest_pixel(channels: int) -> None:
    dark = NOISE[..., :channels] >> 6  # below 1,024
    twelve = png_chunk(b"sBIT", bytes([12] * channels))
    photo = decode_encoded(png_16_bit(dark, twelve))
    assert "read as 12-bit" in depth_warning(photo)
    np.testing.assert_array_equal(
        photo.pixels, np.broadcast_to(np.round(dark / 4095 * 255), photo.pixels.shape)
    )
    full_range = decode_encoded(png_16_bit(dark, png_chunk(b"sBIT", bytes([16] * channels))))
    assert full_range.warnings == ()
    assert full_range.pixels.max() <= 4
    scaled = (NOISE[..., :channels] >> 6 << 4) | 1  # below 16,384, scaled from 12 bits
    assert decode_encoded(png_16_bit(scaled, twelve)).warnings == ()


@pytest.mark.parametrize("tag", [281, 341])
def test_the_declared_maximum_of_a_tiff_counts_if_it_is_a_bit_depth(tag: int) -> None:
    dark = NOISE[..., 0] >> 6
    for white, bits in ((4095, 12), (16383, 14), (1000, 10)):
        photo = decode_encoded(tiff(dark, extratags=[(tag, "H", 1, white, True)]))
        assert f"read as {bits}-bit" in depth_warning(photo)
    assert decode_encoded(tiff(dark, extratags=[(tag, "H", 1, 65535, True)])).warnings == ()


def test_black_images_and_dark_8_bit_values_times_257_are_not_scaled() -> None:
    for values in (np.zeros((4, 5, 1), np.uint16), (NOISE[..., :1] >> 12) * 257):
        photo = decode_encoded(png_16_bit(values))
        assert photo.warnings == ()
        np.testing.assert_array_equal(photo.pixels[..., :1], values // 257)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_12_bit_image_with_a_few_bright_values_gets_a_warning(file: str, channels: int) -> None:
    values = NOISE[..., :channels] >> 4
    values[3, 4, 0] = 50000
    photo = decode_encoded(FILES[file](values))
    assert depth_warning(photo) == (
        f"all but 1 of {values.size:,} values of a 16-bit image are below 4,096, so it was read as nearly "
        "black; if it has 12 bits, clip its values to 4,095, otherwise scale them to 16 bits"
    )
    np.testing.assert_allclose(photo.pixels, np.broadcast_to(values / 257, photo.pixels.shape), atol=1)
    values[:, :5] = 50000  # more than a few
    assert decode_encoded(FILES[file](values)).warnings == ()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_dark_image_of_8_bits_or_declared_depth_gets_no_warning(channels: int) -> None:
    values = (NOISE[..., :channels] >> 12) * 257
    values[3, 4, 0] = 65535
    assert decode_encoded(png_16_bit(values)).warnings == ()
    values = NOISE[..., :channels] >> 4
    values[3, 4, 0] = 50000
    assert decode_encoded(png_16_bit(values, png_chunk(b"sBIT", bytes([16] * channels)))).warnings == ()


def test_packed_12_bit_values_are_never_scaled_by_a_smaller_depth() -> None:
    dark = (np.arange(64) * 2).astype(np.uint16)
    packed = b"".join(
        ((int(a) << 12) | int(b)).to_bytes(3, "big") for a, b in zip(dark[::2], dark[1::2], strict=True)
    )
    tags = [
        (256, 8),
        (257, 8),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 8),
        (279, len(packed)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed
    photo = decode_encoded(head + struct.pack("<H", len(tags)) + entries + bytes(4))
    assert photo.warnings == ()
    np.testing.assert_array_equal(photo.pixels[..., 0].ravel(), np.round(dark / 4095 * 255))


@pytest.mark.parametrize("values", [NOISE[..., :3], NOISE[..., :3] >> 4])
def test_planar_16_bit_channels_are_rejected(values: NDArray[Any]) -> None:
    planes = np.ascontiguousarray(values.transpose(2, 0, 1))
    with pytest.raises(
        InputError, match="planar 16-bit channels; allowed: interleaved, or 8 bits; convert it"
    ):
        decode_encoded(tiff(planes, planarconfig="separate", photometric="rgb"))
    eight = np.ascontiguousarray((NOISE[..., :3] >> 8).astype(np.uint8).transpose(2, 0, 1))
    photo = decode_encoded(tiff(eight, planarconfig="separate", photometric="rgb"))
    np.testing.assert_array_equal(photo.pixels, eight.transpose(1, 2, 0))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_where_0_is_white_the_depth_is_inferred_from_the_darkest_pixel(
    bits: int, compression: str | None
) -> None:
    values = NOISE[..., 0] >> (16 - bits)
    values[3, 4] = 2**bits - 1
    photo = decode_encoded(tiff(values, photometric="miniswhite", compression=compression))
    expected = np.round((2**bits - 1 - values) / (2**bits - 1) * 255)
    np.testing.assert_array_equal(photo.pixels[..., 0], expected)
    assert depth_warning(photo) == (
        f"16-bit pixels with values up to {2**bits - 1:,} were read as {bits}-bit, from 0 (white) to "
        f"{2**bits - 1:,} (black); if the image really is that pale, scale its values to 16 bits"
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_where_65535_is_black_the_depth_is_inferred_from_the_brightest_pixel(bits: int) -> None:
    values = NOISE[..., 0] >> (16 - bits)
    values[3, 4] = 2**bits - 1
    photo = decode_encoded(tiff(65535 - values, photometric="miniswhite"))
    np.testing.assert_array_equal(photo.pixels[..., 0], np.round(values / (2**bits - 1) * 255))
    assert depth_warning(photo).startswith(
        f"16-bit pixels with values up to {2**bits - 1:,} were read as {bits}-bit, "
    )
    assert "times as bright" in depth_warning(photo)


def test_where_0_is_white_the_full_range_gets_no_warning() -> None:
    photo = decode_encoded(tiff(NOISE[..., 0], photometric="miniswhite"))
    assert photo.warnings == ()
    np.testing.assert_allclose(photo.pixels[..., 0], (65535 - NOISE[..., 0]) / 257, atol=0.6)


def test_where_0_is_white_a_few_bright_pixels_get_a_warning() -> None:
    values = NOISE[:, :, 0].repeat(2, axis=0).repeat(2, axis=1) >> 4
    values[0, 0] = 60_000
    photo = decode_encoded(tiff(65535 - values, photometric="miniswhite"))
    assert depth_warning(photo).startswith("all but 1 of 4,800 values of a 16-bit image are below 4,096")
    pale = decode_encoded(tiff(values, photometric="miniswhite"))  # nearly white all over
    assert pale.warnings == ()
    assert pale.pixels[1:, 1:].min() >= 239
