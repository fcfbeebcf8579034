"""Tests of the named preprocessing, and of how it is fitted to a network."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from zfscope.errors import InputError
from zfscope.images.normalise import Preprocessing, normalise
from zfscope.images.presets import PRESETS, preprocessing_for

PHOTO = np.random.default_rng(2).integers(0, 256, (4, 4, 3), np.uint8)
# Photo as float32 (3, H, W), from 0 to 1.
UNIT = (PHOTO.transpose(2, 0, 1) / 255).astype(np.float32)
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
# The formulas as the sources state them, of pixels from 0 to 1.
EXPECTED = {
    "torchvision": (UNIT - IMAGENET_MEAN) / IMAGENET_STD,
    "imagenet-bgr": 255 * UNIT[::-1] - np.array([104, 117, 123], np.float32)[:, None, None],
    "tensorflow": 2 * (UNIT - 0.5),
    "unit": UNIT,
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_computes_the_formula_of_its_source(name: str) -> None:
    np.testing.assert_allclose(normalise(PHOTO, preprocessing_for(name, 224)), EXPECTED[name], atol=1e-4)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_takes_224_of_256_pixels_and_interpolates_bilinearly(name: str) -> None:
    steps = preprocessing_for(name, 224)
    assert steps == PRESETS[name]
    assert (steps.short_side, steps.centre, steps.crop, steps.interpolation) == (256, 256, 224, "bilinear")


@pytest.mark.parametrize(
    ("size", "short_side"), [(28, 32), (96, 110), (227, 259), (299, 342), (512, 585), (4000, 4096)]
)
def test_the_short_side_is_scaled_with_the_size_of_the_network(size: int, short_side: int) -> None:
    steps = preprocessing_for("torchvision", size)
    assert (steps.short_side, steps.centre, steps.crop) == (short_side, short_side, size)


@pytest.mark.parametrize(("resize", "centre"), [(299, 299), (340, 340), (0, 299)])
def test_resize_replaces_the_short_side(resize: int, centre: int) -> None:
    steps = preprocessing_for("torchvision", 299, resize=resize)
    assert (steps.short_side, steps.centre, steps.crop) == (resize, centre, 299)


def test_every_value_can_be_replaced() -> None:
    steps = preprocessing_for(
        "unit",
        224,
        resize=256,
        channels="BGR",
        mean=[127, 126, 125],
        std=[128.0],
        interpolation="bicubic",
    )
    assert steps == Preprocessing(
        channels="BGR", mean=(127.0, 126.0, 125.0), std=(128.0, 128.0, 128.0), interpolation="bicubic"
    )


def test_the_levels_of_a_preset_follow_the_order_of_the_channels() -> None:
    assert preprocessing_for("imagenet-bgr", 224, channels="RGB").mean == (123.0, 117.0, 104.0)
    assert preprocessing_for("torchvision", 224, channels="BGR").std == (57.375, 57.12, 58.395)
    assert preprocessing_for("imagenet-bgr", 224, channels="BGR").mean == (104.0, 117.0, 123.0)


@pytest.mark.parametrize("channels", [None, "grey"])
@pytest.mark.parametrize(("name", "order"), [("torchvision", 1), ("imagenet-bgr", -1)])
def test_one_channel_has_the_luma_of_the_preset(name: str, order: int, channels: str | None) -> None:
    steps = preprocessing_for(name, 96, input_channels=1, channels=channels)
    assert steps.channels == "grey"
    for levels, colours in ((steps.mean, PRESETS[name].mean), (steps.std, PRESETS[name].std)):
        luma = np.dot([0.299, 0.587, 0.114], np.array(colours)[::order])
        assert levels == pytest.approx((luma,), abs=2e-3)


def test_the_luma_of_a_preset_is_the_mean_colour_in_grey() -> None:
    steps = preprocessing_for("torchvision", 96, input_channels=1)
    mean = Image.new("RGB", (1, 1), (124, 116, 104)).convert("L").getpixel((0, 0))
    assert steps.mean == pytest.approx((mean,), abs=1)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        (
            {"name": "pytorch"},
            "preprocessing",
            "preprocessing 'pytorch' not found; available: torchvision, imagenet-bgr, tensorflow, unit",
        ),
        ({"size": 0}, "size", "size 0 is out of range; allowed: 1 to 4096 pixels"),
        ({"size": 5000}, "size", "size 5000 is out of range"),
        (
            {"resize": 223},
            "resize",
            "resize 223 is out of range; allowed: 224 (the network's input size) to 4096 pixels, or 0 to "
            "take photos as they are",
        ),
        ({"resize": 9999}, "resize", "resize 9999 is out of range"),
        ({"resize": -1}, "resize", "resize -1 is out of range"),
        ({"channels": "GBR"}, "channels", "channels 'GBR' is not valid; allowed: RGB, BGR, grey"),
        (
            {"channels": "grey"},
            "channels",
            "channels 'grey' does not match a network of 3 input channels; allowed: RGB or BGR",
        ),
        (
            {"channels": "RGB", "input_channels": 1},
            "channels",
            "channels 'RGB' does not match a network of 1 input channels; allowed: grey",
        ),
        (
            {"input_channels": 4},
            "channels",
            "the network reads 4 channels; photos have 3 (RGB, BGR) or 1 (grey)",
        ),
        (
            {"interpolation": "area"},
            "interpolation",
            "interpolation 'area' is not valid; allowed: bilinear, bicubic, nearest, lanczos",
        ),
        (
            {"mean": (0.485, 0.456, 0.406)},
            "mean",
            "mean is 0.485,0.456,0.406, like values for pixels of 0 to 1; give it in pixel levels of 0 to "
            "255, multiplied by 255: 123.675,116.28,103.53",
        ),
        ({"std": (0.229, 0.224, 0.225)}, "std", "multiplied by 255: 58.395,57.12,57.375"),
        ({"std": (0.5,)}, "std", "multiplied by 255: 127.5,127.5,127.5"),
        ({"std": (1, 0, 1)}, "std", "std is 1,0,1; every value must be greater than 0"),
        ({"mean": (1, 2)}, "mean", "mean has 2 values; allowed for channels 'RGB': 3, or 1 for all channels"),
        ({"mean": ()}, "mean", "mean has 0 values"),
        (
            {"mean": (1, 2, 3), "input_channels": 1},
            "mean",
            "mean has 3 values; allowed for channels 'grey': 1",
        ),
        ({"mean": (1, float("nan"), 3)}, "mean", "mean is 1,nan,3; its values must be finite numbers"),
        ({"std": (float("inf"),)}, "std", "std is inf; its values must be finite numbers"),
    ],
)
def test_invalid_values_are_rejected_by_name(changes: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        preprocessing_for(**{"name": "torchvision", "size": 224, **changes})
    assert message in caught.value.message
    assert caught.value.field == field


def test_a_mean_of_zero_and_a_deviation_of_one_are_not_fractions() -> None:
    steps = preprocessing_for("torchvision", 224, mean=(0, 0, 0), std=(1,))
    assert (steps.mean, steps.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
