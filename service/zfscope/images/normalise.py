"""Preprocessing settings of a network, and the conversion between pixels and normalised inputs."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from zfscope.errors import InputError

# Largest side of a resampled photo, in pixels.
MAX_SIDE = 4096
_Side = Annotated[int, Field(gt=0, le=MAX_SIDE)]
_Std = Annotated[FiniteFloat, Field(gt=0)]

# Channels of a network's input: the order of three colours, or one channel of grey levels.
Channels = Literal["RGB", "BGR", "grey"]
# Filters of Pillow for resampling a photo; all but `nearest` are widened for antialiasing if it shrinks.
Interpolation = Literal["bilinear", "bicubic", "nearest", "lanczos"]

# ITU-R 601 luma of red, green and blue, as in Pillow's mode L: weights in units of 1 / 65536.
_LUMA = (19595, 38470, 7471)


class Preprocessing(BaseModel):
    """Preprocessing of a network's input; stored with the weights.

    short_side:     length in pixels to which the shorter side of the photo is resampled; 0: no resampling.
    centre:         side in pixels of the square cut from the middle of the resampled photo.
    crop:           side in pixels of the network's input, cut from that square.
    channels:       order of the channels of the input, of `mean` and of `std`; `grey`: one channel, the luma.
    mean:           mean to subtract, in pixel levels of 0 to 255, one value per channel; "image": a mean
                    image stored with the weights.
    std:            divisor in pixel levels, one value per channel; 1 if only the mean is subtracted, as in
                    the paper.
    interpolation:  filter for resampling the photo.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    short_side: Annotated[int, Field(ge=0, le=MAX_SIDE)] = 256
    centre: _Side = 256
    crop: _Side = 224
    channels: Channels = "RGB"
    mean: tuple[FiniteFloat, ...] | Literal["image"] = (123.68, 116.779, 103.939)
    std: tuple[_Std, ...] = (1.0, 1.0, 1.0)
    interpolation: Interpolation = "bilinear"

    @model_validator(mode="after")
    def _check_sizes(self) -> "Preprocessing":
        if self.crop > self.centre:
            raise ValueError(f"crop {self.crop} must not exceed centre {self.centre}")
        if self.short_side and self.centre > self.short_side:
            raise ValueError(f"centre {self.centre} must not exceed short_side {self.short_side}")
        return self

    @model_validator(mode="after")
    def _check_levels(self) -> "Preprocessing":
        for name, levels in (("mean", self.mean), ("std", self.std)):
            if levels != "image" and len(levels) != self.channel_count:
                raise ValueError(
                    f"{name} has {len(levels)} values; channels '{self.channels}' requires "
                    f"{self.channel_count}"
                )
        return self

    @property
    def channel_count(self) -> int:
        """Number of channels of the network's input: 1 for grey levels, else 3."""
        return 1 if self.channels == "grey" else 3

    @property
    def resampling(self) -> Image.Resampling:
        """Pillow's constant for the interpolation."""
        return Image.Resampling[self.interpolation.upper()]


# float32 (C, centre, centre) or (C, crop, crop), in pixel levels, channels in the network's order.
MeanImage = NDArray[np.float32]


def normalise(
    view: NDArray[np.uint8],
    preprocessing: Preprocessing,
    mean_image: MeanImage | None = None,
    *,
    at: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Return (pixel - mean) / std of crops, float32 (..., C, H, W) in the network's channel order.

    view: crops, uint8 (..., H, W, 3), RGB. at: (x, y) of the crops in the centre square, used to crop a mean
    image of the size of that square; by default its middle. Raises InputError if the mean image is missing or
    has a wrong shape.
    """
    planes = luma(view)[..., None] if preprocessing.channels == "grey" else view
    levels = np.ascontiguousarray(np.moveaxis(planes, -1, -3), np.float32)
    return normalise_levels(levels, preprocessing, mean_image, at=at)


def normalise_levels(
    levels: NDArray[np.float32],
    preprocessing: Preprocessing,
    mean_image: MeanImage | None = None,
    *,
    at: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Return (level - mean) / std of levels from 0 to 255, float32 (..., C, H, W); see `normalise`.

    levels: RGB; for a network that reads grey levels, one channel.
    """
    ordered = reorder(levels, preprocessing)
    normal: NDArray[np.float32] = (ordered - _mean(preprocessing, mean_image, at)) / _column(
        preprocessing.std
    )
    return np.ascontiguousarray(normal)


def level_range(
    preprocessing: Preprocessing, mean_image: MeanImage | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the normalised values of black and white per channel, float32 (C,), in the network's order.

    With a mean image: the minimum of black and the maximum of white over all positions of the crop.
    """
    mean, std = _mean(preprocessing, mean_image, None), np.array(preprocessing.std, np.float32)
    black, white = (0 - mean.max(axis=(1, 2))) / std, (255 - mean.min(axis=(1, 2))) / std
    return black.astype(np.float32), white.astype(np.float32)


def restore(
    pixels: NDArray[np.float32], preprocessing: Preprocessing, mean_image: MeanImage | None = None
) -> NDArray[np.uint8]:
    """Return the image, uint8 (H, W, 3), RGB, of a normalised input, float32 (C, H, W).

    This is the inverse of `normalise`, rounded and clipped to 0..255. The image of grey levels is grey. A
    mean image larger than the crop is cropped to its middle.
    """
    levels = pixels * _column(preprocessing.std) + _mean(preprocessing, mean_image, None)
    planes = reorder(levels, preprocessing).round().clip(0, 255).astype(np.uint8)
    return three_channels(planes.transpose(1, 2, 0))


def reorder(pixels: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Convert pixels, (..., C, H, W), from the network's channel order to RGB, or from RGB to that order.

    One channel of grey levels is returned unchanged.
    """
    return pixels[..., ::-1, :, :] if preprocessing.channels == "BGR" else pixels


def luma(view: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the grey levels, uint8 (..., H, W), of crops, uint8 (..., H, W, 3), RGB: Pillow's mode L."""
    red, green, blue = (view[..., channel].astype(np.uint32) * _LUMA[channel] for channel in range(3))
    return ((red + green + blue + 0x8000) >> 16).astype(np.uint8)


def luma_of(levels: tuple[float, ...]) -> float:
    """Return the luma of one colour, (red, green, blue), without rounding."""
    return sum(weight * level for weight, level in zip(_LUMA, levels, strict=True)) / sum(_LUMA)


def three_channels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image, uint8 (..., C), with one channel repeated to three, so that it can be shown as RGB."""
    return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:-1], 3)))


def input_colours(view: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return crops, uint8 (..., H, W, 3), as the network receives them: grey if it reads grey levels."""
    return three_channels(luma(view)[..., None]) if preprocessing.channels == "grey" else view


def _mean(
    preprocessing: Preprocessing, mean_image: MeanImage | None, at: tuple[int, int] | None
) -> NDArray[np.float32]:
    """Return the mean to subtract from a crop: (C, 1, 1) or (C, crop, crop)."""
    if preprocessing.mean != "image":
        return _column(preprocessing.mean)
    image = _validate_mean_image(mean_image, preprocessing)
    size, margin = preprocessing.crop, image.shape[1] - preprocessing.crop
    x, y = at if at is not None and margin else (margin // 2, margin // 2)
    return image[:, y : y + size, x : x + size]


def _validate_mean_image(mean_image: MeanImage | None, preprocessing: Preprocessing) -> MeanImage:
    allowed = mean_image_shapes(preprocessing)
    if mean_image is None:
        raise InputError("the preprocessing subtracts a mean image; pass mean_image")
    if mean_image.shape not in allowed:
        shapes = ", ".join(map(str, allowed))
        raise InputError(f"the mean image has shape {mean_image.shape}; allowed: {shapes}")
    return mean_image.astype(np.float32, copy=False)


def mean_image_shapes(preprocessing: Preprocessing) -> tuple[tuple[int, int, int], ...]:
    """Return the shapes that a mean image may have: that of the centre square or of the crop."""
    sides = dict.fromkeys((preprocessing.centre, preprocessing.crop))
    return tuple((preprocessing.channel_count, side, side) for side in sides)


def _column(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None]
