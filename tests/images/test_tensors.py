"""Tests of tensors as input: normalisation of pixels, warnings about implausible values, and errors."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.normalise import Preprocessing, normalise
from zfscope.images.preprocess import prepare_tensor
from zfscope.images.tensors import TensorScale, read_tensor

PAPER = Preprocessing(crop=32, centre=32, short_side=32)
TORCHVISION = Preprocessing(
    crop=32, centre=32, short_side=32, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
)
BGR = Preprocessing(crop=32, centre=32, short_side=32, channels="BGR", mean=(104.0, 117.0, 123.0))
GREY = Preprocessing(crop=32, centre=32, short_side=32, channels="grey", mean=(100.0,), std=(50.0,))
UNIT = Preprocessing(crop=32, centre=32, short_side=32, mean=(0, 0, 0), std=(255, 255, 255))
SYMMETRIC = Preprocessing(crop=32, centre=32, short_side=32, mean=(127.5,) * 3, std=(127.5,) * 3)
MODELS = {"paper": PAPER, "torchvision": TORCHVISION, "bgr": BGR, "unit": UNIT, "symmetric": SYMMETRIC}

PHOTO = np.random.default_rng(4).integers(0, 256, (32, 32, 3), np.uint8)
PIXELS = PHOTO.transpose(2, 0, 1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (PIXELS, "pixels_255"),
        (PIXELS.astype(np.float32), "pixels_255"),
        (PIXELS[None].astype(np.float32), "pixels_255"),
        ((PIXELS / 255).astype(np.float32), "pixels_1"),
    ],
)
def test_pixels_are_normalised_like_a_photo(name: str, values: NDArray[Any], scale: TensorScale) -> None:
    tensor_input = read_tensor(values, MODELS[name], scale=scale)
    expected = normalise(PHOTO, MODELS[name])
    np.testing.assert_allclose(tensor_input.pixels, expected, atol=1e-4 * np.abs(expected).max())
    assert tensor_input.warnings == ()
    assert tensor_input.pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (PIXELS[:1], "pixels_255"),
        (PIXELS[None, :1].astype(np.float32), "pixels_255"),
        ((PIXELS[:1] / 255).astype(np.float32), "pixels_1"),
        ((PIXELS[:1].astype(np.float32) - 100) / 50, "normalised"),
    ],
)
def test_a_grey_network_reads_tensors_of_one_channel(values: NDArray[Any], scale: TensorScale) -> None:
    tensor_input = read_tensor(values, GREY, scale=scale)
    np.testing.assert_allclose(
        tensor_input.pixels, (PIXELS[:1].astype(np.float32) - 100) / 50, rtol=1e-5, atol=1e-6
    )
    assert tensor_input.warnings == ()
    with pytest.raises(InputError, match=r"shape \(3, 32, 32\); allowed: \(1, 32, 32\), \(1, 1, 32, 32\)"):
        read_tensor(PIXELS, GREY, scale="pixels_255")


def test_the_photo_of_a_pixel_tensor_is_its_pixels() -> None:
    prepared = prepare_tensor(PIXELS, BGR, scale="pixels_255")
    np.testing.assert_array_equal(prepared.photo, PHOTO)


def test_a_mean_image_is_subtracted_from_pixels() -> None:
    preprocessing = Preprocessing(crop=32, centre=36, short_side=36, mean="image")
    mean = np.random.default_rng(5).uniform(90, 150, (3, 36, 36)).astype(np.float32)
    tensor_input = read_tensor(PIXELS, preprocessing, mean_image=mean, scale="pixels_255")
    np.testing.assert_allclose(tensor_input.pixels, PIXELS - mean[:, 2:34, 2:34], atol=1e-4)
    assert "none of them negative" in range_warning(
        PIXELS.astype(np.float32) % 100, preprocessing, mean_image=mean
    )


@pytest.mark.parametrize("name", MODELS)
def test_normalised_photos_get_no_warning(name: str) -> None:
    for photo in (PHOTO, PHOTO // 4, 230 - PHOTO // 2, np.full_like(PHOTO, 9), np.zeros_like(PHOTO)):
        assert read_tensor(normalise(photo, MODELS[name]), MODELS[name]).warnings == ()
    assert read_tensor(np.zeros((3, 32, 32), np.float32), MODELS[name]).warnings == ()


def range_warning(values: NDArray[Any], preprocessing: Preprocessing, **options: Any) -> str:
    (notice,) = read_tensor(values, preprocessing, field="image.tensor", **options).warnings
    assert (notice.code, notice.field) == ("tensor-range", "image.tensor")
    return notice.message


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "paper",
            PIXELS,
            "which no pixels produce; normalised photos of this model have -123.7 to 151.1;",
        ),
        ("paper", PIXELS * 0.5, "none of them negative, like pixels that were not normalised"),
        ("paper", PIXELS / 255, "which is very little contrast"),
        ("paper", normalise(PHOTO, TORCHVISION), "which is very little contrast"),
        ("bgr", PIXELS, "which no pixels produce"),
        (
            "torchvision",
            PIXELS,
            "which no pixels produce; normalised photos of this model have -2.118 to 2.64",
        ),
        ("torchvision", PIXELS / 255, "none of them negative, like pixels that were not normalised"),
        ("torchvision", normalise(PHOTO, PAPER), "which no pixels produce"),
        (
            "torchvision",
            PIXELS / 127.5 - 1,
            "-1 to 1, like pixels normalised by t / 127.5 - 1",
        ),
        (
            "torchvision",
            PIXELS / 255 - 0.5,
            "-0.5 to 0.5, like pixels normalised by t / 255",
        ),
        (
            "symmetric",
            PIXELS / 255 - 0.5,
            "-0.5 to 0.5, like pixels normalised by t / 255",
        ),
        ("unit", PIXELS, "which no pixels produce; normalised photos of this model have 0 to 1"),
        ("unit", normalise(PHOTO, TORCHVISION), "which no pixels produce"),
    ],
)
def test_values_that_no_normalised_photo_has_get_a_warning(
    name: str, values: NDArray[Any], message: str
) -> None:
    text = range_warning(values.astype(np.float32), MODELS[name])
    assert message in text
    assert text.endswith("for pixels, set tensor_scale to PIXELS_255 or PIXELS_1")


def test_pixels_of_0_to_1_sent_as_0_to_255_get_a_warning() -> None:
    message = range_warning((PIXELS / 255).astype(np.float32), PAPER, scale="pixels_255")
    assert message == "the brightest pixel is 1 of 255; for pixels of 0 to 1, set tensor_scale to PIXELS_1"


@pytest.mark.parametrize(
    ("values", "scale", "message"),
    [
        (PIXELS.astype(np.float32) - 1, "pixels_255", r"is -1.0 at .*; allowed: pixels from 0 to 255"),
        (PIXELS.astype(np.float32) + 1, "pixels_255", r"is 256.0 at .*; allowed: pixels from 0 to 255"),
        (
            PIXELS.astype(np.float32),
            "pixels_1",
            r"is \d+.0 at channel.*; allowed: pixels from 0 to 1",
        ),
        (
            np.full((3, 32, 32), np.nan, np.float32),
            "pixels_255",
            r"is nan at channel 0, y 0, x 0 \(3,072 of 3,072 values",
        ),
        (
            PIXELS,
            "normalised",
            "type uint8; allowed for scale normalised: float32; for uint8 pixels, set tensor_scale",
        ),
        (
            PIXELS,
            "pixels_1",
            "type uint8; allowed for scale pixels_1: float32; for uint8 pixels, set tensor_scale",
        ),
        (
            PIXELS.astype(np.float16),
            "pixels_255",
            "type float16; allowed for scale pixels_255: float32, uint8",
        ),
        (PIXELS[:, :31], "pixels_255", r"shape \(3, 31, 32\); allowed: \(3, 32, 32\), \(1, 3, 32, 32\)"),
    ],
)
def test_invalid_tensors_are_rejected(values: NDArray[Any], scale: TensorScale, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_tensor(values, PAPER, scale=scale, field="image.tensor")
    assert caught.value.field == "image.tensor"
