"""What a network expects of its input, and the arithmetic from pixels to it and back."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from zfscope.errors import InputError

_Side = Annotated[int, Field(gt=0, le=4096)]
_Std = Annotated[FiniteFloat, Field(gt=0)]


class Preprocessing(BaseModel):
    """What a network expects of its input; this travels with the weights.

    short_side:  length in pixels to which the photo's shorter side is resampled; 0: not resampled.
    centre:      side of the square cut from the middle of the resampled photo.
    crop:        side of the network's input, cut from that square.
    channels:    order of the input's channels, in which `mean` and `std` are given too.
    mean:        subtracted, in pixel units of 0 to 255; "image": a mean image travels beside the weights.
    std:         divided by, in pixel units; (1, 1, 1) where only the mean is subtracted, as in the paper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    short_side: Annotated[int, Field(ge=0, le=4096)] = 256
    centre: _Side = 256
    crop: _Side = 224
    channels: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | Literal["image"] = (123.68, 116.779, 103.939)
    std: tuple[_Std, _Std, _Std] = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _check_sizes(self) -> "Preprocessing":
        if self.crop > self.centre:
            raise ValueError(f"crop {self.crop} must not exceed centre {self.centre}")
        if self.short_side and self.centre > self.short_side:
            raise ValueError(f"centre {self.centre} must not exceed short_side {self.short_side}")
        return self


MeanImage = NDArray[np.float32]
"""float32 (3, centre, centre) or (3, crop, crop), in pixel units, channels in the network's order."""


def normalise(
    view: NDArray[np.uint8],
    preprocessing: Preprocessing,
    mean_image: MeanImage | None = None,
    *,
    at: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Return (pixel - mean) / std of crops, uint8 (..., H, W, 3) RGB, as float32 (..., 3, H, W).

    `at`: x and y of the crops in their centre squares, where a mean image of that size is cut in the
    same way; its middle by default.
    """
    levels = np.ascontiguousarray(np.moveaxis(view, -1, -3), np.float32)
    return normalise_levels(levels, preprocessing, mean_image, at=at)


def normalise_levels(
    levels: NDArray[np.float32],
    preprocessing: Preprocessing,
    mean_image: MeanImage | None = None,
    *,
    at: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Return (level - mean) / std of pixels, float32 (..., 3, H, W) RGB of 0 to 255; see `normalise`."""
    ordered = reorder(levels, preprocessing)
    normal: NDArray[np.float32] = (ordered - _mean(preprocessing, mean_image, at)) / _column(
        preprocessing.std
    )
    return np.ascontiguousarray(normal)


def level_range(
    preprocessing: Preprocessing, mean_image: MeanImage | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what black and white become in each channel of the network's order, float32 (3,).

    Under a mean image, the least that black becomes anywhere in the crop, and the most that white does.
    """
    mean, std = _mean(preprocessing, mean_image, None), np.array(preprocessing.std, np.float32)
    black, white = (0 - mean.max(axis=(1, 2))) / std, (255 - mean.min(axis=(1, 2))) / std
    return black.astype(np.float32), white.astype(np.float32)


def restore(
    pixels: NDArray[np.float32], preprocessing: Preprocessing, mean_image: MeanImage | None = None
) -> NDArray[np.uint8]:
    """Return the picture, uint8 (H, W, 3) RGB, whose normalised form is `pixels`, float32 (3, H, W).

    The inverse of `normalise`, rounded and cut to 0..255; of a larger mean image the middle is taken.
    """
    levels = pixels * _column(preprocessing.std) + _mean(preprocessing, mean_image, None)
    rgb = reorder(levels, preprocessing).round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(rgb.transpose(1, 2, 0))


def reorder(pixels: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Turn channels, (..., 3, H, W), from the network's order to RGB or back: its own inverse."""
    return pixels if preprocessing.channels == "RGB" else pixels[..., ::-1, :, :]


def _mean(
    preprocessing: Preprocessing, mean_image: MeanImage | None, at: tuple[int, int] | None
) -> NDArray[np.float32]:
    """Return the mean under a crop: (3, 1, 1) or (3, crop, crop)."""
    if preprocessing.mean != "image":
        return _column(preprocessing.mean)
    image = _validate_mean_image(mean_image, preprocessing)
    size, margin = preprocessing.crop, image.shape[1] - preprocessing.crop
    x, y = at if at is not None and margin else (margin // 2, margin // 2)
    return image[:, y : y + size, x : x + size]


def _validate_mean_image(mean_image: MeanImage | None, preprocessing: Preprocessing) -> MeanImage:
    centre, crop = preprocessing.centre, preprocessing.crop
    if mean_image is None:
        raise InputError("the preprocessing subtracts a mean image, and none was given")
    if mean_image.shape not in {(3, centre, centre), (3, crop, crop)}:
        allowed = f"{(3, centre, centre)} and {(3, crop, crop)}"
        raise InputError(f"the mean image has shape {mean_image.shape}; allowed are {allowed}")
    return mean_image.astype(np.float32, copy=False)


def _column(values: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None]
