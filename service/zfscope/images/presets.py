"""Named preprocessing of networks that others trained, and how it is fitted to a network's input."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from zfscope.errors import InputError
from zfscope.images.normalise import MAX_SIDE, Channels, Interpolation, Preprocessing, luma_of

# One value per channel, in pixel levels.
Levels: TypeAlias = tuple[float, ...]

# Every preset takes a crop of 7/8 of the resampled photo's short side, as 224 of 256.
_SHORT_SIDE = 256 / 224

# The presets, at 224 pixels. All of them resample with a triangle filter and cut the crop from the middle.
PRESETS: Mapping[str, Preprocessing] = {
    # torchvision: transforms.Resize(256), CenterCrop(224) and Normalize(mean=(0.485, 0.456, 0.406),
    # std=(0.229, 0.224, 0.225)) of pixels from 0 to 1, here times 255.
    # https://docs.pytorch.org/vision/stable/models.html
    "torchvision": Preprocessing(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    # Caffe: mean_value 104, 117 and 123 of blue, green and red in models/bvlc_googlenet/train_val.prototxt;
    # photos of 256 pixels, crop_size 224. https://github.com/BVLC/caffe
    "imagenet-bgr": Preprocessing(channels="BGR", mean=(104.0, 117.0, 123.0)),
    # TensorFlow: 2 * (x / 255 - 0.5) and central_fraction 0.875 in inception_preprocessing.py of TF-Slim;
    # `mode="tf"` of Keras. https://github.com/google-research/tf-slim
    "tensorflow": Preprocessing(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
    # torchvision's transforms.ToTensor() alone: pixels from 0 to 1.
    "unit": Preprocessing(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)),
}


def preprocessing_for(
    name: str,
    size: int,
    *,
    input_channels: int = 3,
    resize: int | None = None,
    channels: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str | None = None,
) -> Preprocessing:
    """Return a preset of `PRESETS`, fitted to a network's input and changed as requested.

    size: side of the network's input in pixels; the crop has this size. input_channels: 1 for a network that
    reads grey levels; the mean and std of its preset are then the luma of those of red, green and blue, which
    is exact for the mean of grey photos and an estimate for std.

    resize: short side to which photos are resampled, at least `size`; by default `size` * 256 / 224; 0:
    photos are not resampled. channels: `RGB`, `BGR` or `grey`; by default those of the preset, or `grey` for
    one channel. The preset's mean and std follow. mean, std: in pixel levels of 0 to 255, one value per
    channel in the order of `channels`, or one value for all channels. interpolation: `bilinear`, `bicubic`,
    `nearest` or `lanczos`.

    Raises InputError with the name of the invalid argument as field.
    """
    if name not in PRESETS:
        message = f"preprocessing '{name}' not found; available: {', '.join(PRESETS)}"
        raise InputError(message, field="preprocessing")
    preset = PRESETS[name]
    order = _channels(channels, input_channels, preset)
    short_side = _short_side(size, resize)
    return Preprocessing(
        short_side=short_side,
        centre=short_side or size,
        crop=size,
        channels=order,
        mean=_in_order(preset, preset.mean, order) if mean is None else _mean(mean, order),
        std=_in_order(preset, preset.std, order) if std is None else _std(std, order),
        interpolation=_choose(interpolation or preset.interpolation, Interpolation, "interpolation"),
    )


def _short_side(size: int, resize: int | None) -> int:
    """Return the short side to which photos are resampled, 0 for none. Raises InputError."""
    if not 1 <= size <= MAX_SIDE:
        raise InputError(f"size {size} is out of range; allowed: 1 to {MAX_SIDE} pixels", field="size")
    if resize is None:
        return min(round(size * _SHORT_SIDE), MAX_SIDE)
    if resize == 0 or size <= resize <= MAX_SIDE:
        return resize
    raise InputError(
        f"resize {resize} is out of range; allowed: {size} (the network's input size) to {MAX_SIDE} pixels, "
        "or 0 to take photos as they are",
        field="resize",
    )


def _channels(requested: str | None, input_channels: int, preset: Preprocessing) -> Channels:
    """Return the channels of the input. Raises InputError unless the network reads as many."""
    if input_channels not in (1, 3):
        message = f"the network reads {input_channels} channels; photos have 3 (RGB, BGR) or 1 (grey)"
        raise InputError(message, field="channels")
    if requested is None:
        return "grey" if input_channels == 1 else preset.channels
    channels: Channels = _choose(requested, Channels, "channels")
    if (channels == "grey") != (input_channels == 1):
        message = f"channels '{channels}' does not match a network of {input_channels} input channels"
        fitting = "grey" if input_channels == 1 else "RGB or BGR"
        raise InputError(f"{message}; allowed: {fitting}", field="channels")
    return channels


def _choose(name: str, choices: Any, field: str) -> Any:
    """Return a name of a Literal type. Raises InputError, listing the names, for another one."""
    names = get_args(choices)
    if name not in names:
        raise InputError(f"{field} '{name}' is not valid; allowed: {', '.join(names)}", field=field)
    return name


def _in_order(preset: Preprocessing, levels: Levels | Literal["image"], order: Channels) -> Levels:
    """Return levels of a preset in another order of channels, or their luma for one channel."""
    assert levels != "image"  # presets have a mean per channel
    rgb = levels if preset.channels == "RGB" else levels[::-1]
    return {"RGB": rgb, "BGR": rgb[::-1], "grey": (round(luma_of(rgb), 3),)}[order]


def _mean(values: Sequence[float], order: Channels) -> Levels:
    mean = _levels(values, order, "mean")
    if any(mean) and all(abs(level) <= 1 for level in mean):
        raise _fractions_error(mean, "mean")
    return mean


def _std(values: Sequence[float], order: Channels) -> Levels:
    std = _levels(values, order, "std")
    if not all(level > 0 for level in std):
        raise InputError(f"std is {_join(std)}; every value must be greater than 0", field="std")
    # 1 stands for a network that only subtracts the mean.
    if all(level < 1 for level in std):
        raise _fractions_error(std, "std")
    return std


def _levels(values: Sequence[float], order: Channels, field: str) -> Levels:
    """Return one value per channel. Raises InputError for another number of values and for NaN."""
    count = 1 if order == "grey" else 3
    if len(values) not in (1, count):
        allowed = "1" if count == 1 else "3, or 1 for all channels"
        message = f"{field} has {len(values)} values; allowed for channels '{order}': {allowed}"
        raise InputError(message, field=field)
    if not all(map(math.isfinite, values)):
        raise InputError(f"{field} is {_join(values)}; its values must be finite numbers", field=field)
    return tuple(map(float, values)) * (count // len(values))


def _fractions_error(values: Levels, field: str) -> InputError:
    scaled = _join(tuple(255 * value for value in values))
    return InputError(
        f"{field} is {_join(values)}, like values for pixels of 0 to 1; give it in pixel levels of 0 to 255, "
        f"multiplied by 255: {scaled}",
        field=field,
    )


def _join(values: Sequence[float]) -> str:
    return ",".join(f"{value:.6g}" for value in values)
