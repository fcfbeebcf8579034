"""Tests of normalisation, its inverse, and preprocessing settings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from zfscope.errors import InputError
from zfscope.images.normalise import (
    Preprocessing,
    input_colours,
    level_range,
    luma,
    normalise,
    normalise_levels,
    reorder,
    restore,
)

SMALL = Preprocessing(short_side=8, centre=8, crop=6)
GREY = Preprocessing(short_side=8, centre=8, crop=6, channels="grey", mean=(20.0,), std=(4.0,))
view = np.random.default_rng(1).integers(0, 256, (6, 6, 3), np.uint8)


def test_mean_and_deviation_are_applied_per_channel() -> None:
    preprocessing = SMALL.model_copy(update={"mean": (10.0, 20.0, 30.0), "std": (2.0, 4.0, 5.0)})
    normal = normalise(view, preprocessing)
    assert normal.dtype == np.float32
    assert normal.shape == (3, 6, 6)
    for channel, (mean, std) in enumerate(((10, 2), (20, 4), (30, 5))):
        np.testing.assert_allclose(
            normal[channel], (view[..., channel].astype(float) - mean) / std, rtol=1e-6
        )


def test_bgr_puts_blue_first_including_the_mean() -> None:
    preprocessing = SMALL.model_copy(update={"channels": "BGR", "mean": (1.0, 2.0, 3.0)})
    normal = normalise(view, preprocessing)
    np.testing.assert_array_equal(normal[0], view[..., 2].astype(np.float32) - 1)
    np.testing.assert_array_equal(normal[2], view[..., 0].astype(np.float32) - 3)


def test_grey_levels_are_those_of_pillow() -> None:
    every = np.stack(np.meshgrid(*[np.arange(0, 256, 5, np.uint8)] * 3), axis=-1).reshape(52, -1, 3)
    np.testing.assert_array_equal(luma(every), np.asarray(Image.fromarray(every).convert("L")))


def test_a_grey_network_reads_one_normalised_channel() -> None:
    grey = np.asarray(Image.fromarray(view).convert("L"), np.float32)
    normal = normalise(view, GREY)
    assert (normal.shape, normal.dtype) == ((1, 6, 6), np.float32)
    np.testing.assert_array_equal(normal[0], (grey - 20) / 4)
    np.testing.assert_array_equal(normalise_levels(grey[None], GREY), normal)
    np.testing.assert_array_equal(normalise(input_colours(view, GREY), GREY), normal)


def test_pictures_of_a_grey_network_are_grey() -> None:
    grey = np.asarray(Image.fromarray(view).convert("L"))
    for picture in (input_colours(view, GREY), restore(normalise(view, GREY), GREY)):
        np.testing.assert_array_equal(picture, np.repeat(grey[..., None], 3, axis=-1))
        assert picture.flags.writeable
    assert input_colours(view, SMALL) is view


def test_a_mean_image_of_a_grey_network_has_one_channel() -> None:
    steps, mean = GREY.model_copy(update={"mean": "image"}), np.full((1, 8, 8), 7, np.float32)
    np.testing.assert_array_equal(normalise(view, steps, mean)[0], (luma(view).astype(np.float32) - 7) / 4)
    with pytest.raises(InputError, match=r"shape \(3, 8, 8\); allowed: \(1, 8, 8\), \(1, 6, 6\)"):
        normalise(view, steps, np.zeros((3, 8, 8), np.float32))


def test_the_range_of_grey_levels_has_one_value() -> None:
    black, white = level_range(GREY)
    assert (black.tolist(), white.tolist()) == ([-5.0], [58.75])


def test_a_batch_of_crops_equals_single_crops() -> None:
    preprocessing = SMALL.model_copy(update={"channels": "BGR", "mean": "image", "std": (2.0, 4.0, 5.0)})
    mean = np.random.default_rng(2).random((3, 8, 8), np.float32) * 255
    views = np.random.default_rng(3).integers(0, 256, (2, 4, 6, 6, 3), np.uint8)
    together = normalise(views, preprocessing, mean, at=(2, 1))
    assert together.shape == (2, 4, 3, 6, 6)
    for row, column in np.ndindex(2, 4):
        alone = normalise(views[row, column], preprocessing, mean, at=(2, 1))
        np.testing.assert_array_equal(together[row, column], alone)


@pytest.mark.parametrize("at", [(0, 0), (2, 0), (0, 2), (1, 1), None])
def test_a_mean_image_of_the_centre_square_is_cropped_like_the_photo(at: tuple[int, int] | None) -> None:
    mean = np.random.default_rng(2).random((3, 8, 8), np.float32) * 255
    normal = normalise(view, SMALL.model_copy(update={"mean": "image"}), mean, at=at)
    x, y = at or (1, 1)
    np.testing.assert_allclose(normal, view.transpose(2, 0, 1) - mean[:, y : y + 6, x : x + 6], rtol=1e-5)


@pytest.mark.parametrize("at", [(0, 0), (2, 2), None])
def test_a_mean_image_of_the_crop_is_not_cropped(at: tuple[int, int] | None) -> None:
    mean = np.random.default_rng(2).random((3, 6, 6), np.float32) * 255
    normal = normalise(view, SMALL.model_copy(update={"mean": "image"}), mean, at=at)
    np.testing.assert_allclose(normal, view.transpose(2, 0, 1) - mean, rtol=1e-5)


def test_a_missing_mean_image_is_rejected() -> None:
    with pytest.raises(InputError, match="subtracts a mean image; pass mean_image"):
        normalise(view, SMALL.model_copy(update={"mean": "image"}))


def test_a_mean_image_of_another_shape_is_rejected() -> None:
    mean = np.zeros((3, 7, 7), np.float32)
    with pytest.raises(InputError, match=r"shape \(3, 7, 7\); allowed: \(3, 8, 8\), \(3, 6, 6\)"):
        normalise(view, SMALL.model_copy(update={"mean": "image"}), mean)


@given(
    channels=st.sampled_from(["RGB", "BGR"]),
    mean=st.tuples(*[st.floats(-10, 300)] * 3),
    std=st.tuples(*[st.floats(0.01, 500)] * 3),
)
def test_restore_inverts_normalise(channels: str, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    preprocessing = Preprocessing.model_validate(
        {"short_side": 8, "centre": 8, "crop": 6, "channels": channels, "mean": mean, "std": std}
    )
    np.testing.assert_array_equal(restore(normalise(view, preprocessing), preprocessing), view)


def test_restore_adds_the_middle_of_a_mean_image() -> None:
    preprocessing = SMALL.model_copy(update={"mean": "image"})
    mean = np.random.default_rng(2).random((3, 8, 8), np.float32) * 255
    np.testing.assert_array_equal(restore(normalise(view, preprocessing, mean), preprocessing, mean), view)


def test_restore_clips_to_the_range_of_pixels() -> None:
    pixels = np.full((3, 6, 6), 1e5, np.float32)
    assert (restore(pixels, SMALL) == 255).all()
    assert (restore(-pixels, SMALL) == 0).all()


def test_reordering_twice_changes_nothing() -> None:
    pixels: NDArray[np.float32] = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
    bgr = SMALL.model_copy(update={"channels": "BGR"})
    np.testing.assert_array_equal(reorder(pixels, bgr)[:, 0], pixels[:, 2])
    np.testing.assert_array_equal(reorder(reorder(pixels, bgr), bgr), pixels)
    np.testing.assert_array_equal(reorder(pixels, SMALL), pixels)
    np.testing.assert_array_equal(reorder(pixels[:, :1], GREY), pixels[:, :1])


def test_the_defaults_are_the_sizes_of_the_paper() -> None:
    default = Preprocessing()
    assert (default.short_side, default.centre, default.crop, default.std) == (256, 256, 224, (1, 1, 1))
    assert (default.channels, default.interpolation) == ("RGB", "bilinear")


def test_preprocessing_round_trips_through_json() -> None:
    bgr = SMALL.model_copy(update={"mean": "image", "channels": "BGR"})
    for preprocessing in (Preprocessing(), bgr, GREY.model_copy(update={"interpolation": "lanczos"})):
        assert Preprocessing.model_validate_json(preprocessing.model_dump_json()) == preprocessing


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop": 257}, "crop 257 must not exceed centre 256"),
        ({"short_side": 200}, "centre 256 must not exceed short_side 200"),
        ({"crop": 0}, "greater than 0"),
        ({"short_side": 10**9}, "less than or equal to 4096"),
        ({"channels": "GBR"}, "'RGB', 'BGR' or 'grey'"),
        ({"channels": "grey"}, "mean has 3 values; channels 'grey' requires 1"),
        ({"channels": "grey", "mean": (1,)}, "std has 3 values; channels 'grey' requires 1"),
        ({"std": (1, 1)}, "std has 2 values; channels 'RGB' requires 3"),
        ({"interpolation": "area"}, "'bilinear', 'bicubic', 'nearest' or 'lanczos'"),
        ({"std": (1, 0, 1)}, "greater than 0"),
        ({"mean": (1, 2)}, "mean has 2 values; channels 'RGB' requires 3"),
        ({"mean": (1, 2, float("nan"))}, "finite"),
        ({"means": (1, 2, 3)}, "Extra inputs are not permitted"),
    ],
)
def test_invalid_preprocessing_is_rejected(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Preprocessing.model_validate(wrong)
