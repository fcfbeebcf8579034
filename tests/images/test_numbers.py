"""Tests of numeric pixels (floating-point, 32-bit, signed) and of 8-bit TIFFs that declare a maximum."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.image_files import NOISE, decode_encoded, depth_warning, tiff
from zfscope.errors import InputError
from zfscope.images.decode import decode_grey, decode_photo


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
def test_numbers_without_a_declared_range_get_the_most_likely_one_with_a_warning(
    values: NDArray[Any], white: int
) -> None:
    photo = decode_encoded(tiff(values))
    np.testing.assert_allclose(photo.pixels[..., 0], values / white * 255, atol=0.51)
    (notice,) = photo.warnings
    kind = "floating-point numbers" if values.dtype.kind == "f" else "integers"
    assert notice.code == "assumed-range"
    assert notice.message.startswith(f"{kind} from {values.min():.6g} to {values.max():.6g} were read")
    assert notice.message.endswith(f"from 0 (black) to {white} (white); if that is wrong, convert to 8 bits")


def test_the_declared_range_of_a_tiff_is_used() -> None:
    values = np.float32(NOISE[..., 0]) / 100 - 300
    tags = [(340, "f", 1, -300.0, True), (341, "f", 1, 700.0, True)]
    photo = decode_encoded(tiff(values, extratags=tags))
    np.testing.assert_allclose(photo.pixels[..., 0], (values + 300) / 1000 * 255, atol=0.51)
    assert "from -300 (black) to 700 (white), as the file declares" in photo.warnings[0].message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.float32([[-1, 2]]),
            "TIFF file with pixels from -1 to 2 and does not declare which values are black and white",
        ),
        (np.float32([[0, 1e6]]), "TIFF file with pixels from 0 to 1e\\+06 and does not declare"),
        (np.int16([[-5, 300]]), "TIFF file with pixels from -5 to 300 and does not declare"),
        (np.uint32([[0, 70000]]), "TIFF file with pixels from 0 to 70000 and does not declare"),
        (np.float32([[0, np.nan]]), "has pixels that are not finite"),
        (np.float32([[0, np.inf]]), "has pixels that are not finite"),
    ],
)
def test_numbers_without_a_plausible_range_are_rejected(values: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        decode_encoded(tiff(values))
    assert caught.value.field == "image.encoded"


@pytest.mark.parametrize(("kind", "white"), [("<f4", 1.0), ("<f4", 255.0)])
def test_numbers_where_0_is_white_are_inverted(kind: str, white: float) -> None:
    values = (NOISE[..., 0] / 65535 * white).astype(kind)
    photo = decode_encoded(tiff(values, photometric="miniswhite"))
    np.testing.assert_allclose(photo.pixels[..., 0], 255 - NOISE[..., 0] / 257, atol=1)
    (notice,) = photo.warnings
    assert f"from {white:g} (black) to 0 (white)" in notice.message


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_signed_bytes_are_read_as_signed(compression: str | None) -> None:
    """Pillow opens them as unsigned: -1 as 255, and 127 as mid-grey."""
    values = (NOISE[..., 0] >> 9).astype(np.int8)
    photo = decode_encoded(tiff(values, compression=compression))
    np.testing.assert_allclose(photo.pixels[..., 0], values / 127 * 255, atol=0.51)
    (notice,) = photo.warnings
    assert notice.message.startswith("integers from 0 to 127 were read as grey levels from 0 (black) to")


def test_negative_signed_bytes_need_a_declared_range() -> None:
    values = (NOISE[..., 0] >> 8).astype(np.uint8).view(np.int8)
    for read in (decode_photo, decode_grey):
        with pytest.raises(
            InputError, match="pixels from -128 to 127 and does not declare which values are black"
        ):
            read(tiff(values))
    stated = decode_encoded(tiff(values, extratags=[(340, "b", 1, -128, True), (341, "b", 1, 127, True)]))
    np.testing.assert_array_equal(stated.pixels[..., 0], values.astype(int) + 128)


@pytest.mark.parametrize(("kind", "tag"), [("i1", 281), ("i2", 281), ("i2", 341), ("i4", 341), ("u4", 281)])
def test_the_declared_maximum_of_signed_and_32_bit_numbers_is_used(kind: str, tag: int) -> None:
    values = (NOISE[..., 0] >> 10).astype(kind)
    photo = decode_encoded(tiff(values, extratags=[(tag, "H", 1, 63, True)]))
    np.testing.assert_allclose(photo.pixels[..., 0], values / 63 * 255, atol=0.51)
    assert "from 0 (black) to 63 (white), as the file declares" in photo.warnings[0].message


@pytest.mark.parametrize("tag", [281, 341])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_declared_maximum_of_8_bit_pixels_is_used_if_it_is_a_bit_depth(channels: int, tag: int) -> None:
    values = (NOISE[..., :channels] >> 10).astype(np.uint8)
    if channels == 4:
        values[..., 3] = 255
    maxima = (63,) * channels
    kinds: dict[str, Any] = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    photo = decode_encoded(tiff(values, extratags=[(tag, "H", channels, maxima, True)], **kinds))
    np.testing.assert_array_equal(photo.pixels, np.round(values[..., :3] / 63 * 255) + np.zeros((1, 1, 3)))
    assert depth_warning(photo) == (
        f"8-bit pixels with values up to {values[..., :3].max()} were read as 6-bit, as the file "
        "declares; if that is wrong, remove its MaxSampleValue"
    )
    for maximum in (60, 31, 255, 0):  # not a bit depth, exceeded, full range, zero
        same = decode_encoded(
            tiff(values, extratags=[(tag, "H", channels, (maximum,) * channels, True)], **kinds)
        )
        assert same.warnings == ()
        np.testing.assert_array_equal(same.pixels, values[..., :3] + np.zeros((1, 1, 3), np.uint8))


def test_the_declared_maximum_is_used_for_masks_and_where_0_is_white() -> None:
    values, tags = (NOISE[..., 0] >> 10).astype(np.uint8), [(281, "H", 1, 63, True)]
    grey = decode_grey(tiff(values, extratags=tags))
    np.testing.assert_array_equal(grey.pixels, np.round(values / 63 * 255))
    photo = decode_encoded(tiff(values, photometric="miniswhite", extratags=tags))
    np.testing.assert_array_equal(photo.pixels[..., 0], 255 - np.round(values / 63 * 255))


@pytest.mark.parametrize("white", [1, 255, 4095, 65535])
@pytest.mark.parametrize("below", [0, -0.02])
def test_values_beyond_white_from_resampling_are_clipped(white: int, below: float) -> None:
    values = np.float32((NOISE[..., 0] / 65535 * (1.03 - below) + below) * white)
    photo = decode_encoded(tiff(values))
    np.testing.assert_allclose(photo.pixels[..., 0], np.clip(values / white, 0, 1) * 255, atol=0.51)
    (notice,) = photo.warnings
    assert f"from 0 (black) to {white:g} (white); if that is wrong" in notice.message
    assert notice.message.startswith(f"floating-point numbers from {values.min():.6g} to {values.max():.6g}")
