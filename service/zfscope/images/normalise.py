"""Preprocessing settings of a network, and the conversion between pixels and normalised inputs."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from zfscope.errors import InputError

_Side = Annotated[int, Field(gt=0, le=4096)]
_Std = Annotated[FiniteFloat, Field(gt=0)]


class Preprocessing(BaseModel):
    """Preprocessing of a network's input; stored with the weights.

    short_side:  length in pixels to which the shorter side of the photo is resampled; 0: no resampling.
    centre:      side in pixels of the square cut from the middle of the resampled photo.
    crop:        side in pixels of the network's input, cut from that square.
    channels:    order of the channels of the input, and of `mean` and `std`.
    mean:        mean to subtract, in pixel levels of 0 to 255; "image": a mean image stored with the weights.
    std:         divisor in pixel levels; (1, 1, 1) if only the mean is subtracted, as in the paper.
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


# float32 (3, centre, centre) or (3, crop, crop), in pixel levels, channels in the network's order.
MeanImage = NDArray[np.float32]


def normalise(
    view: NDArray[np.uint8],
    preprocessing: Preprocessing,
    mean_image: MeanImage | None = None,
    *,
    at: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Return (pixel - mean) / std of crops, float32 (..., 3, H, W) in the network's channel order.

    view: crops, uint8 (..., H, W, 3), RGB. at: (x, y) of the crops in the centre square, used to crop a mean
    image of the size of that square; by default its middle. Raises InputError if the mean image is missing or
    has a wrong shape.
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
    """Return (level - mean) / std of levels from 0 to 255, float32 (..., 3, H, W), RGB; see `normalise`."""
    ordered = reorder(levels, preprocessing)
    normal: NDArray[np.float32] = (ordered - _mean(preprocessing, mean_image, at)) / _column(
        preprocessing.std
    )
    return np.ascontiguousarray(normal)


def level_range(
    preprocessing: Preprocessing, mean_image: MeanImage | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the normalised values of black and white per channel, float32 (3,), in the network's order.

    With a mean image: the minimum of black and the maximum of white over all positions of the crop.
    """
    mean, std = _mean(preprocessing, mean_image, None), np.array(preprocessing.std, np.float32)
    black, white = (0 - mean.max(axis=(1, 2))) / std, (255 - mean.min(axis=(1, 2))) / std
    return black.astype(np.float32), white.astype(np.float32)


def restore(
    pixels: NDArray[np.float32], preprocessing: Preprocessing, mean_image: MeanImage | None = None
) -> NDArray[np.uint8]:
    """Return the image, uint8 (H, W, 3), RGB, of a normalised input, float32 (3, H, W).

    This is the inverse of `normalise`, rounded and clipped to 0..255. A mean image larger than the crop is
    cropped to its middle.
    """
    levels = pixels * _column(preprocessing.std) + _mean(preprocessing, mean_image, None)
    rgb = reorder(levels, preprocessing).round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(rgb.transpose(1, 2, 0))


def reorder(pixels: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Convert pixels, (..., 3, H, W), from the network's channel order to RGB, or from RGB to that order."""
    return pixels if preprocessing.channels == "RGB" else pixels[..., ::-1, :, :]


def _mean(
    preprocessing: Preprocessing, mean_image: MeanImage | None, at: tuple[int, int] | None
) -> NDArray[np.float32]:
    """Return the mean to subtract from a crop: (3, 1, 1) or (3, crop, crop)."""
    if preprocessing.mean != "image":
        return _column(preprocessing.mean)
    image = _validate_mean_image(mean_image, preprocessing)
    size, margin = preprocessing.crop, image.shape[1] - preprocessing.crop
    x, y = at if at is not None and margin else (margin // 2, margin // 2)
    return image[:, y : y + size, x : x + size]


def _validate_mean_image(mean_image: MeanImage | None, preprocessing: Preprocessing) -> MeanImage:
    centre, crop = preprocessing.centre, preprocessing.crop
    if mean_image is None:
        raise InputError("the preprocessing subtracts a mean image; pass mean_image")
    if mean_image.shape not in {(3, centre, centre), (3, crop, crop)}:
        allowed = f"{(3, centre, centre)}, {(3, crop, crop)}"
        raise InputError(f"the mean image has shape {mean_image.shape}; allowed: {allowed}")
    return mean_image.astype(np.float32, copy=False)


def _column(values: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None]
