"""Ready-made inputs: pixels are normalised, and numbers that no photo has are noticed."""

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
def test_pixels_become_what_a_photo_becomes(name: str, values: NDArray[Any], scale: TensorScale) -> None:
    found = read_tensor(values, MODELS[name], scale=scale)
    expected = normalise(PHOTO, MODELS[name])
    np.testing.assert_allclose(found.pixels, expected, atol=1e-4 * np.abs(expected).max())
    assert found.warnings == ()
    assert found.pixels.flags.c_contiguous


def test_pixels_are_seen_as_the_photo_that_they_are() -> None:
    prepared = prepare_tensor(PIXELS, BGR, scale="pixels_255")
    np.testing.assert_array_equal(prepared.photo, PHOTO)


def test_a_mean_image_is_taken_off_pixels() -> None:
    steps = Preprocessing(crop=32, centre=36, short_side=36, mean="image")
    mean = np.random.default_rng(5).uniform(90, 150, (3, 36, 36)).astype(np.float32)
    found = read_tensor(PIXELS, steps, mean_image=mean, scale="pixels_255")
    np.testing.assert_allclose(found.pixels, PIXELS - mean[:, 2:34, 2:34], atol=1e-4)
    assert "none of them negative" in doubt(PIXELS.astype(np.float32) % 100, steps, mean_image=mean)


@pytest.mark.parametrize("name", MODELS)
def test_of_what_photos_become_nothing_is_doubted(name: str) -> None:
    for photo in (PHOTO, PHOTO // 4, 230 - PHOTO // 2, np.full_like(PHOTO, 9), np.zeros_like(PHOTO)):
        assert read_tensor(normalise(photo, MODELS[name]), MODELS[name]).warnings == ()
    assert read_tensor(np.zeros((3, 32, 32), np.float32), MODELS[name]).warnings == ()


def doubt(values: NDArray[Any], steps: Preprocessing, **options: Any) -> str:
    (notice,) = read_tensor(values, steps, field="image.tensor", **options).warnings
    assert (notice.code, notice.field) == ("tensor-range", "image.tensor")
    return notice.message


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        (
            "paper",
            PIXELS,
            "which no pixels give: this model's photos have -123.7 to 151.1 after",
        ),
        ("paper", PIXELS * 0.5, "none of them negative, as if they were pixels"),
        ("paper", PIXELS / 255, "which is next to no contrast"),
        ("paper", normalise(PHOTO, TORCHVISION), "which is next to no contrast"),
        ("bgr", PIXELS, "which no pixels give"),
        ("torchvision", PIXELS, "which no pixels give: this model's photos have -2.118 to 2.64"),
        ("torchvision", PIXELS / 255, "none of them negative, as if they were pixels"),
        ("torchvision", normalise(PHOTO, PAPER), "which no pixels give"),
        (
            "torchvision",
            PIXELS / 127.5 - 1,
            "-1 to 1, as if they were pixels scaled by t / 127.5 - 1",
        ),
        (
            "torchvision",
            PIXELS / 255 - 0.5,
            "-0.5 to 0.5, as if they were pixels scaled by t / 255",
        ),
        (
            "symmetric",
            PIXELS / 255 - 0.5,
            "-0.5 to 0.5, as if they were pixels scaled by t / 255",
        ),
        ("unit", PIXELS, "which no pixels give: this model's photos have 0 to 1"),
        ("unit", normalise(PHOTO, TORCHVISION), "which no pixels give"),
    ],
)
def test_numbers_that_no_photo_becomes_are_noticed(name: str, values: NDArray[Any], words: str) -> None:
    message = doubt(values.astype(np.float32), MODELS[name])
    assert words in message
    assert message.endswith("if they are pixels, state it: tensor_scale PIXELS_255 or PIXELS_1")


def test_pixels_that_were_divided_by_255_are_noticed_where_they_are_stated_as_whole() -> None:
    message = doubt((PIXELS / 255).astype(np.float32), PAPER, scale="pixels_255")
    assert message == "no pixel is brighter than 1 of 255; for pixels of 0 to 1 state tensor_scale PIXELS_1"


@pytest.mark.parametrize(
    ("values", "scale", "message"),
    [
        (PIXELS.astype(np.float32) - 1, "pixels_255", r"holds -1.0 at .*; allowed are pixels from 0 to 255"),
        (PIXELS.astype(np.float32) + 1, "pixels_255", r"holds 256.0 at .*; allowed are pixels from 0 to 255"),
        (
            PIXELS.astype(np.float32),
            "pixels_1",
            r"holds \d+.0 at channel.*; allowed are pixels from 0 to 1",
        ),
        (np.full((3, 32, 32), np.nan, np.float32), "pixels_255", r"holds nan at channel 0, y 0, x 0 \(3,072"),
        (
            PIXELS,
            "normalised",
            "uint8; allowed is float32 for normalised values; uint8 pixels need tensor_scale",
        ),
        (PIXELS, "pixels_1", "uint8; allowed is float32 for pixels_1 values; uint8 pixels need tensor_scale"),
        (
            PIXELS.astype(np.float16),
            "pixels_255",
            "float16; allowed is float32 or uint8 for pixels_255 values",
        ),
        (PIXELS[:, :31], "pixels_255", r"shape \(3, 31, 32\); allowed is \(3, 32, 32\) or \(1, 3, 32, 32\)"),
    ],
)
def test_what_cannot_be_is_refused(values: NDArray[Any], scale: TensorScale, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_tensor(values, PAPER, scale=scale, field="image.tensor")
    assert caught.value.field == "image.tensor"
