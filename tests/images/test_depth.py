"""Pixels of more than 8 bits: what their range is taken for, and what is said of it."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.decode import DecodedPhoto, decode_grey, decode_photo

NOISE = np.random.default_rng(7).integers(0, 65536, (40, 30, 4)).astype(np.uint16)
KINDS = {0: 1, 4: 2, 2: 3, 6: 4}
"""Channels of the colour types of PNG."""


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(values: NDArray[Any], *extra: bytes) -> bytes:
    """A PNG of 16 bits a channel; extra: chunks before its pixels."""
    height, width, channels = values.shape
    colour = next(kind for kind, count in KINDS.items() if count == channels)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + pixels


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    file = io.BytesIO()
    grey = options.pop("photometric", "minisblack" if values.ndim == 2 else "rgb")
    tifffile.imwrite(file, values, photometric=grey, metadata=None, **options)
    return file.getvalue()


def decoded(data: bytes) -> DecodedPhoto:
    return decode_photo(data, field="image.encoded")


def said(photo: DecodedPhoto) -> str:
    (notice,) = photo.warnings
    assert (notice.code, notice.field) == ("assumed-bit-depth", "image.encoded")
    return notice.message


FILES = {
    "PNG": png,
    "TIFF": tiff,
    "big-endian TIFF": lambda values: tiff(values, byteorder=">"),
    "deflated TIFF": lambda values: tiff(values, compression="zlib", predictor=True),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_values_of_fewer_bits_are_scaled_by_those_and_that_is_said(
    file: str, channels: int, bits: int
) -> None:
    values = NOISE[..., :channels] >> (16 - bits)
    values[3, 4] = 2**bits - 1
    photo = decoded(FILES[file](values))
    expected = np.broadcast_to(np.round(values / (2**bits - 1) * 255), photo.pixels.shape)
    np.testing.assert_array_equal(photo.pixels, expected)
    times = {8: 257, 10: 64, 12: 16, 14: 4}[bits]
    assert said(photo) == (
        f"16-bit pixels, none above {2**bits - 1:,}, were read as {bits}-bit ones, {times} times as bright; "
        "if the picture is that dark, scale its values to 16 bits"
    )


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("channels", [1, 3])
def test_values_of_the_whole_range_are_16_bits(file: str, channels: int) -> None:
    photo = decoded(FILES[file](NOISE[..., :channels]))
    assert photo.warnings == ()
    np.testing.assert_allclose(
        photo.pixels, np.broadcast_to(NOISE[..., :channels] / 257, photo.pixels.shape), atol=1
    )


@pytest.mark.parametrize("opaque", [4095, 65535])
def test_opacity_may_have_the_whole_range_where_colours_have_not(opaque: int) -> None:
    values = NOISE >> 4
    values[..., 3] = opaque
    values[0, :, 3] = 0
    photo = decoded(png(values))
    assert [notice.code for notice in photo.warnings] == ["assumed-bit-depth", "transparency"]
    assert "read as 12-bit ones" in photo.warnings[0].message
    np.testing.assert_allclose(photo.pixels[1:], values[1:, :, :3] / 4095 * 255, atol=0.6)
    assert (photo.pixels[0] == 128).all()


def test_grey_with_opacity_has_its_range_too() -> None:
    values = NOISE[..., :2] >> 4
    values[..., 1] = 65535
    photo = decoded(png(values))
    assert "read as 12-bit ones" in said(photo)
    np.testing.assert_allclose(photo.pixels[..., 0], values[..., 0] / 4095 * 255, atol=0.6)


@pytest.mark.parametrize("channels", [1, 3])
def test_significant_bits_of_a_png_count_more_than_the_brightest_pixel(channels: int) -> None:
    dark = NOISE[..., :channels] >> 6  # below 1,024
    twelve = chunk(b"sBIT", bytes([12] * channels))
    photo = decoded(png(dark, twelve))
    assert "read as 12-bit ones" in said(photo)
    np.testing.assert_array_equal(
        photo.pixels, np.broadcast_to(np.round(dark / 4095 * 255), photo.pixels.shape)
    )
    whole = decoded(png(dark, chunk(b"sBIT", bytes([16] * channels))))
    assert whole.warnings == ()
    assert whole.pixels.max() <= 4
    scaled = (NOISE[..., :channels] >> 6 << 4) | 1  # below 16,384, scaled from 12 bits
    assert decoded(png(scaled, twelve)).warnings == ()


@pytest.mark.parametrize("tag", [281, 341])
def test_the_stated_maximum_of_a_tiff_counts_where_it_is_a_depth(tag: int) -> None:
    dark = NOISE[..., 0] >> 6
    for white, bits in ((4095, 12), (16383, 14), (1000, 10)):
        photo = decoded(tiff(dark, extratags=[(tag, "H", 1, white, True)]))
        assert f"read as {bits}-bit ones" in said(photo)
    assert decoded(tiff(dark, extratags=[(tag, "H", 1, 65535, True)])).warnings == ()


def test_black_and_dark_pictures_of_8_bits_spread_to_16_stay_as_they_are() -> None:
    for values in (np.zeros((4, 5, 1), np.uint16), (NOISE[..., :1] >> 12) * 257):
        photo = decoded(png(values))
        assert photo.warnings == ()
        np.testing.assert_array_equal(photo.pixels[..., :1], values // 257)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_few_bright_values_do_not_hide_a_picture_of_12_bits(file: str, channels: int) -> None:
    values = NOISE[..., :channels] >> 4
    values[3, 4, 0] = 50000
    photo = decoded(FILES[file](values))
    assert said(photo) == (
        f"all but 1 of {values.size:,} values of a 16-bit picture are below 4,096, so it was read as nearly "
        "black; if it has 12 bits, cut its values off at 4,095, else scale them to 16 bits"
    )
    np.testing.assert_allclose(photo.pixels, np.broadcast_to(values / 257, photo.pixels.shape), atol=1)
    values[:, :5] = 50000  # more than a few
    assert decoded(FILES[file](values)).warnings == ()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_dark_picture_of_8_bits_or_of_a_stated_depth_is_not_doubted(channels: int) -> None:
    values = (NOISE[..., :channels] >> 12) * 257
    values[3, 4, 0] = 65535
    assert decoded(png(values)).warnings == ()
    values = NOISE[..., :channels] >> 4
    values[3, 4, 0] = 50000
    assert decoded(png(values, chunk(b"sBIT", bytes([16] * channels)))).warnings == ()


def test_a_picture_of_12_bits_that_says_so_is_not_guessed_at() -> None:
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
    photo = decoded(head + struct.pack("<H", len(tags)) + entries + bytes(4))
    assert photo.warnings == ()
    np.testing.assert_array_equal(photo.pixels[..., 0].ravel(), np.round(dark / 4095 * 255))


@pytest.mark.parametrize(
    ("values", "white"),
    [
        (NOISE[..., 0] / np.float32(65535), 1),
        (np.float32(NOISE[..., 0] >> 8), 255),
        (np.float32(NOISE[..., 0] >> 4), 4095),
        (np.float32(NOISE[..., 0]), 65535),
        ((NOISE[..., 0] >> 8).astype(np.int32), 255),
        ((NOISE[..., 0] >> 4).astype(np.uint32), 4095),
        (NOISE[..., 0].astype(np.int32), 65535),
        ((NOISE[..., 0] >> 4).astype(np.int16), 4095),
        ((NOISE[..., 0] >> 1).astype(np.int16), 32767),
    ],
)
def test_numbers_without_a_range_get_the_likeliest_and_that_is_said(values: NDArray[Any], white: int) -> None:
    photo = decoded(tiff(values))
    np.testing.assert_allclose(photo.pixels[..., 0], values / white * 255, atol=0.51)
    (notice,) = photo.warnings
    kind = "floating-point" if values.dtype.kind == "f" else "whole"
    assert notice.code == "assumed-range"
    assert notice.message.startswith(
        f"{kind} numbers from {values.min():.6g} to {values.max():.6g} were read"
    )
    assert notice.message.endswith(f"from 0 (black) to {white} (white); if they are not, convert to 8 bits")


def test_a_range_that_a_tiff_states_is_taken() -> None:
    values = np.float32(NOISE[..., 0]) / 100 - 300
    tags = [(340, "f", 1, -300.0, True), (341, "f", 1, 700.0, True)]
    photo = decoded(tiff(values, extratags=tags))
    np.testing.assert_allclose(photo.pixels[..., 0], (values + 300) / 1000 * 255, atol=0.51)
    assert "from -300 (black) to 700 (white), as the file says" in photo.warnings[0].message


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.float32([[-1, 2]]), r"TIFF pixels from -1 to 2 and does not say which is black and which white"),
        (np.float32([[0, 1e6]]), "TIFF pixels from 0 to 1e\\+06 and does not say"),
        (np.int16([[-5, 300]]), "TIFF pixels from -5 to 300 and does not say"),
        (np.uint32([[0, 70000]]), "TIFF pixels from 0 to 70000 and does not say"),
        (np.float32([[0, np.nan]]), "has pixels that are not finite"),
        (np.float32([[0, np.inf]]), "has pixels that are not finite"),
    ],
)
def test_numbers_that_no_range_fits_are_refused(values: NDArray[Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        decoded(tiff(values))
    assert caught.value.field == "image.encoded"


@pytest.mark.parametrize("values", [NOISE[..., :3], NOISE[..., :3] >> 4])
def test_16_bit_channels_one_after_the_other_are_refused_and_not_misread(values: NDArray[Any]) -> None:
    planes = np.ascontiguousarray(values.transpose(2, 0, 1))
    with pytest.raises(
        InputError, match=r"16-bit channels one after the other \(planar\), which is not read"
    ):
        decoded(tiff(planes, planarconfig="separate", photometric="rgb"))
    eight = np.ascontiguousarray((NOISE[..., :3] >> 8).astype(np.uint8).transpose(2, 0, 1))
    photo = decoded(tiff(eight, planarconfig="separate", photometric="rgb"))
    np.testing.assert_array_equal(photo.pixels, eight.transpose(1, 2, 0))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_where_0_is_white_the_darkest_pixel_says_how_many_bits_are_used(
    bits: int, compression: str | None
) -> None:
    values = NOISE[..., 0] >> (16 - bits)
    values[3, 4] = 2**bits - 1
    photo = decoded(tiff(values, photometric="miniswhite", compression=compression))
    expected = np.round((2**bits - 1 - values) / (2**bits - 1) * 255)
    np.testing.assert_array_equal(photo.pixels[..., 0], expected)
    assert said(photo) == (
        f"16-bit pixels, none above {2**bits - 1:,}, were read as {bits}-bit ones, from 0 (white) to "
        f"{2**bits - 1:,} (black); if the picture is that pale, scale its values to 16 bits"
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_where_65535_is_black_the_brightest_pixel_says_how_many_bits_are_used(bits: int) -> None:
    values = NOISE[..., 0] >> (16 - bits)
    values[3, 4] = 2**bits - 1
    photo = decoded(tiff(65535 - values, photometric="miniswhite"))
    np.testing.assert_array_equal(photo.pixels[..., 0], np.round(values / (2**bits - 1) * 255))
    assert said(photo).startswith(
        f"16-bit pixels, none above {2**bits - 1:,}, were read as {bits}-bit ones, "
    )
    assert "times as bright" in said(photo)


def test_where_0_is_white_the_whole_range_has_no_warning() -> None:
    photo = decoded(tiff(NOISE[..., 0], photometric="miniswhite"))
    assert photo.warnings == ()
    np.testing.assert_allclose(photo.pixels[..., 0], (65535 - NOISE[..., 0]) / 257, atol=0.6)


def test_where_0_is_white_few_bright_pixels_are_bright_ones() -> None:
    values = NOISE[:, :, 0].repeat(2, axis=0).repeat(2, axis=1) >> 4
    values[0, 0] = 60_000
    photo = decoded(tiff(65535 - values, photometric="miniswhite"))
    assert said(photo).startswith("all but 1 of 4,800 values of a 16-bit picture are below 4,096")
    pale = decoded(tiff(values, photometric="miniswhite"))  # nearly white all over
    assert pale.warnings == ()
    assert pale.pixels[1:, 1:].min() >= 239


@pytest.mark.parametrize(("kind", "white"), [("<f4", 1.0), ("<f4", 255.0)])
def test_numbers_where_0_is_white_are_turned(kind: str, white: float) -> None:
    values = (NOISE[..., 0] / 65535 * white).astype(kind)
    photo = decoded(tiff(values, photometric="miniswhite"))
    np.testing.assert_allclose(photo.pixels[..., 0], 255 - NOISE[..., 0] / 257, atol=1)
    (notice,) = photo.warnings
    assert f"from {white:g} (black) to 0 (white)" in notice.message


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_signed_bytes_are_read_as_such(compression: str | None) -> None:
    """Pillow opens them as unsigned ones: -1 as 255, and 127 as mid-grey."""
    values = (NOISE[..., 0] >> 9).astype(np.int8)
    photo = decoded(tiff(values, compression=compression))
    np.testing.assert_allclose(photo.pixels[..., 0], values / 127 * 255, atol=0.51)
    (notice,) = photo.warnings
    assert notice.message.startswith("whole numbers from 0 to 127 were read as grey levels from 0 (black) to")


def test_signed_bytes_that_are_negative_need_a_stated_range() -> None:
    values = (NOISE[..., 0] >> 8).astype(np.uint8).view(np.int8)
    for read in (decode_photo, decode_grey):
        with pytest.raises(InputError, match="pixels from -128 to 127 and does not say which is black"):
            read(tiff(values))
    stated = decoded(tiff(values, extratags=[(340, "b", 1, -128, True), (341, "b", 1, 127, True)]))
    np.testing.assert_array_equal(stated.pixels[..., 0], values.astype(int) + 128)


@pytest.mark.parametrize(("kind", "tag"), [("i1", 281), ("i2", 281), ("i2", 341), ("i4", 341), ("u4", 281)])
def test_a_stated_maximum_of_signed_and_large_numbers_counts(kind: str, tag: int) -> None:
    values = (NOISE[..., 0] >> 10).astype(kind)
    photo = decoded(tiff(values, extratags=[(tag, "H", 1, 63, True)]))
    np.testing.assert_allclose(photo.pixels[..., 0], values / 63 * 255, atol=0.51)
    assert "from 0 (black) to 63 (white), as the file says" in photo.warnings[0].message


@pytest.mark.parametrize("tag", [281, 341])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_stated_maximum_of_8_bits_counts_where_it_is_a_depth(channels: int, tag: int) -> None:
    values = (NOISE[..., :channels] >> 10).astype(np.uint8)
    if channels == 4:
        values[..., 3] = 255
    maxima = (63,) * channels
    kinds: dict[str, Any] = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    photo = decoded(tiff(values, extratags=[(tag, "H", channels, maxima, True)], **kinds))
    np.testing.assert_array_equal(photo.pixels, np.round(values[..., :3] / 63 * 255) + np.zeros((1, 1, 3)))
    assert said(photo) == (
        f"8-bit pixels, none above {values[..., :3].max()}, were read as 6-bit ones, as the file says; if "
        "they are not, remove its MaxSampleValue"
    )
    for maximum in (60, 31, 255, 0):  # the brightest pixel only, exceeded, all of them, nothing
        same = decoded(tiff(values, extratags=[(tag, "H", channels, (maximum,) * channels, True)], **kinds))
        assert same.warnings == ()
        np.testing.assert_array_equal(same.pixels, values[..., :3] + np.zeros((1, 1, 3), np.uint8))


def test_the_stated_maximum_counts_in_masks_and_where_0_is_white() -> None:
    values, tags = (NOISE[..., 0] >> 10).astype(np.uint8), [(281, "H", 1, 63, True)]
    grey = decode_grey(tiff(values, extratags=tags))
    np.testing.assert_array_equal(grey.pixels, np.round(values / 63 * 255))
    photo = decoded(tiff(values, photometric="miniswhite", extratags=tags))
    np.testing.assert_array_equal(photo.pixels[..., 0], 255 - np.round(values / 63 * 255))


@pytest.mark.parametrize("white", [1, 255, 4095, 65535])
@pytest.mark.parametrize("below", [0, -0.02])
def test_numbers_that_resampling_took_beyond_white_are_cut_off(white: int, below: float) -> None:
    values = np.float32((NOISE[..., 0] / 65535 * (1.03 - below) + below) * white)
    photo = decoded(tiff(values))
    np.testing.assert_allclose(photo.pixels[..., 0], np.clip(values / white, 0, 1) * 255, atol=0.51)
    (notice,) = photo.warnings
    assert f"from 0 (black) to {white:g} (white); if they are not" in notice.message
    assert notice.message.startswith(f"floating-point numbers from {values.min():.6g} to {values.max():.6g}")
