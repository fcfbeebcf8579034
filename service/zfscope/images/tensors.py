"""Validation of tensors sent as network input: type, shape, scale and plausible range of the values."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.normalise import MeanImage, Preprocessing, level_range, normalise_levels
from zfscope.results import Notice

# Scale of a tensor: normalised, in the network's channel order; or RGB pixels of 0 to 255 or 0 to 1, which
# are then normalised here.
TensorScale = Literal["normalised", "pixels_255", "pixels_1"]
SCALES: tuple[TensorScale, ...] = ("normalised", "pixels_255", "pixels_1")

# Larger inputs could overflow float32 activations; normalised pixels stay below 256 / std.
_MAX_VALUE = 1e6

_WHITE: dict[TensorScale, float] = {"pixels_255": 255.0, "pixels_1": 1.0}
# Fractions of the range that photos can have. A tensor gets a warning if it exceeds the range by more than
# the first, or spans less than the second: the contrast of a photo is seldom below 13 of 255 levels.
_RANGE_MARGIN, _NARROW_SHARE = 0.1, 0.05
# Normalisation of other frameworks, by half the width of its range: -1 to 1 and -0.5 to 0.5. A tensor that
# fills such a range up to the tolerance was probably normalised that way, unless the model's range is about
# as wide.
_SYMMETRIC = {1.0: "t / 127.5 - 1", 0.5: "t / 255 - 0.5"}
_FILL_TOLERANCE, _WIDER_FACTOR = 0.02, 1.25
_SCALE_ADVICE = "for pixels, set tensor_scale to PIXELS_255 or PIXELS_1"


class TensorInput(NamedTuple):
    """Normalised pixels, float32 (C, crop, crop), in the network's channel order, and warnings."""

    pixels: NDArray[np.float32]
    warnings: tuple[Notice, ...] = ()


def read_tensor(
    tensor: NDArray[np.generic],
    preprocessing: Preprocessing,
    *,
    mean_image: MeanImage | None = None,
    scale: TensorScale = "normalised",
    field: str = "tensor",
) -> TensorInput:
    """Validate a tensor and normalise it if it holds pixels; return a copy.

    tensor: (C, crop, crop) or (1, C, crop, crop). Normalised: float32, channels in the network's order.
    Pixels: float32 (uint8 also for 0 to 255), RGB or one channel of grey levels. scale: scale of the values.
    A normalised tensor with values that no photo would have gets a warning.
    Raises InputError, naming `field`, for another type or shape, for pixels out of range, and for normalised
    values that are not finite or exceed 1e6, since activations could overflow.
    """
    _check_type(tensor, scale, field)
    shape = (preprocessing.channel_count, preprocessing.crop, preprocessing.crop)
    if tensor.shape not in {shape, (1, *shape)}:
        allowed = f"{shape}, {(1, *shape)}"
        raise InputError(f"{field} has shape {tensor.shape}; allowed: {allowed}", field=field)
    # A copy, since arrays of received bytes are read-only.
    values = np.array(tensor, np.float32, order="C").reshape(shape)
    low, high = values.min(axis=(1, 2)), values.max(axis=(1, 2))
    if scale == "normalised":
        _check_values(values, low, high, -_MAX_VALUE, _MAX_VALUE, "finite values", field)
        return TensorInput(values, _range_notices(low, high, preprocessing, mean_image, field))
    white = _WHITE[scale]
    _check_values(values, low, high, 0.0, white, "pixels", field)
    levels = values if white == 255 else values * np.float32(255)
    return TensorInput(
        normalise_levels(levels, preprocessing, mean_image), _dark_pixel_notices(scale, high, field)
    )


def _check_type(tensor: NDArray[np.generic], scale: TensorScale, field: str) -> None:
    if tensor.dtype == np.float32 or (tensor.dtype == np.uint8 and scale == "pixels_255"):
        return
    allowed = "float32, uint8" if scale == "pixels_255" else "float32"
    hint = "; for uint8 pixels, set tensor_scale to PIXELS_255" if tensor.dtype == np.uint8 else ""
    message = f"{field} has type {tensor.dtype}; allowed for scale {scale}: {allowed}{hint}"
    raise InputError(message, field=field)


def _check_values(
    values: NDArray[np.float32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    minimum: float,
    maximum: float,
    kind: str,
    field: str,
) -> None:
    """Raise InputError for values out of range or NaN, with the position of the first one.

    low, high: smallest and largest value of each channel. kind: name of the values, for the message.
    """
    if (low >= minimum).all() and (high <= maximum).all():
        return
    wrong = np.argwhere(~((values >= minimum) & (values <= maximum)))
    channel, y, x = wrong[0]
    raise InputError(
        f"{field} is {values[channel, y, x]} at channel {channel}, y {y}, x {x} ({len(wrong):,} of "
        f"{values.size:,} values are out of range); allowed: {kind} from {minimum:g} to {maximum:g}",
        field=field,
    )


def _range_notices(
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    preprocessing: Preprocessing,
    mean_image: MeanImage | None,
    field: str,
) -> tuple[Notice, ...]:
    """Return a warning if the values are unlikely to be those of a normalised photo.

    low, high: smallest and largest value of each channel. A uniform colour, such as the mean, is deliberate
    and gets no warning. The others are checked in this order: values outside the range of pixels of 0 to 255;
    values with very little contrast, such as 0 to 1 with a deviation of 1; no negative values although dark
    pixels are negative; values that fill -1 to 1 or -0.5 to 0.5 although the model's range is wider.
    """
    darkest, brightest = level_range(preprocessing, mean_image)
    span = brightest - darkest
    values = f"values from {low.min():.4g} to {high.max():.4g}"
    expected = f"normalised photos of this model have {darkest.min():.4g} to {brightest.max():.4g}"
    if (low == high).all():
        return ()
    if (low < darkest - _RANGE_MARGIN * span).any() or (high > brightest + _RANGE_MARGIN * span).any():
        doubt = "which no pixels produce"
    elif high.max() - low.min() < _NARROW_SHARE * span.max():
        doubt = "which is very little contrast"
    elif low.min() >= 0 and (darkest < -_RANGE_MARGIN * span).all():
        doubt = "none of them negative, like pixels that were not normalised"
    elif formula := _matching_formula(float(low.min()), float(high.max()), float(span.max())):
        doubt = f"like pixels normalised by {formula} (undo it)"
    else:
        return ()
    return (Notice("tensor-range", f"{values}, {doubt}; {expected}; {_SCALE_ADVICE}", field),)


def _matching_formula(low: float, high: float, span: float) -> str | None:
    """Return the normalisation formula of another framework that fits the values; None if none fits.

    span: width of the range of the model's photos.
    """
    for half, formula in _SYMMETRIC.items():
        filled = all((1 - _FILL_TOLERANCE) * half <= end <= 1.001 * half for end in (-low, high))
        if filled and span > _WIDER_FACTOR * 2 * half:
            return formula
    return None


def _dark_pixel_notices(scale: TensorScale, high: NDArray[np.float32], field: str) -> tuple[Notice, ...]:
    """Return a warning for pixels of 0 to 255 that are all at most 1; they probably range from 0 to 1."""
    if scale != "pixels_255" or not 0 < high.max() <= 1:
        return ()
    message = (
        f"the brightest pixel is {high.max():.4g} of 255; for pixels of 0 to 1, set tensor_scale to PIXELS_1"
    )
    return (Notice("tensor-range", message, field),)
