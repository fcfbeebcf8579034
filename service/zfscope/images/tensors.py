"""A ready-made network input: what its numbers are on, and whether they can be that."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.normalise import MeanImage, Preprocessing, level_range, normalise_levels
from zfscope.results import Notice

# What the numbers of a tensor are: normalised as the network reads them, in its channel order; or pixels of
# 0 to 255 or of 0 to 1, RGB, that are normalised here.
TensorScale = Literal["normalised", "pixels_255", "pixels_1"]
SCALES: tuple[TensorScale, ...] = ("normalised", "pixels_255", "pixels_1")

_MAX_VALUE = 1e6
"""Beyond it float32 activations could overflow on their way up; pixels stay below 256 / std."""

_WHITE: dict[TensorScale, float] = {"pixels_255": 255.0, "pixels_1": 1.0}
# Shares of what photos can span. A tensor beyond the range by more than the first is suspicious, and so is
# one that spans less than the second: a photo's contrast is seldom below 13 of 255 levels.
_RANGE_MARGIN, _NARROW_SHARE = 0.1, 0.05
# Ranges around 0 that other frameworks scale pixels to: t / 127.5 - 1 and t / 255 - 0.5. A tensor that fills
# one of them to within a share of it was likely scaled so, unless the model's own range is about as wide.
_SYMMETRIC = {1.0: "t / 127.5 - 1", 0.5: "t / 255 - 0.5"}
_FILL_TOLERANCE, _WIDER_FACTOR = 0.02, 1.25
_SCALE_ADVICE = "if they are pixels, state it: tensor_scale PIXELS_255 or PIXELS_1"


class TensorInput(NamedTuple):
    """Normalised pixels, float32 (3, crop, crop), channels in the network's order, and what is doubtful."""

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
    """Return a ready-made network input as a network may be given it: a copy.

    `tensor`: (3, crop, crop) or (1, 3, crop, crop). Normalised: float32, channels in the network's order,
    mean taken off. Pixels: float32 or uint8, RGB, of 0 to 255 or of 0 to 1, as `scale` says.
    A normalised tensor whose values no photo would have comes with a warning.
    Raises InputError, naming `field`, for another type or shape, for pixels outside of their range, and for
    values that are not finite or beyond 1e6, where activations could overflow.
    """
    _check_type(tensor, scale, field)
    side = preprocessing.crop
    if tensor.shape not in {(3, side, side), (1, 3, side, side)}:
        allowed = f"{(3, side, side)} or {(1, 3, side, side)}"
        raise InputError(f"{field} has shape {tensor.shape}; allowed is {allowed}", field=field)
    values = np.array(tensor, np.float32, order="C").reshape(3, side, side)  # bytes of the wire are read-only
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
    allowed = "float32 or uint8" if scale == "pixels_255" else "float32"
    hint = "; uint8 pixels need tensor_scale PIXELS_255" if tensor.dtype == np.uint8 else ""
    message = f"{field} has values of type {tensor.dtype}; allowed is {allowed} for {scale} values{hint}"
    raise InputError(message, field=field)


def _check_values(
    values: NDArray[np.float32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    least: float,
    most: float,
    what: str,
    field: str,
) -> None:
    """Raise InputError for values outside of a range, the first of them by its place; NaN is outside."""
    if (low >= least).all() and (high <= most).all():
        return
    wrong = np.argwhere(~((values >= least) & (values <= most)))
    channel, y, x = wrong[0]
    raise InputError(
        f"{field} holds {values[channel, y, x]} at channel {channel}, y {y}, x {x} ({len(wrong):,} such "
        f"values); allowed are {what} from {least:g} to {most:g}",
        field=field,
    )


def _range_notices(
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    preprocessing: Preprocessing,
    mean_image: MeanImage | None,
    field: str,
) -> tuple[Notice, ...]:
    """Return a warning where values, by their least and most in each channel, are not those of a photo.

    One colour all over is deliberate: the mean, or a blank. Else doubtful are, in this order,
    values that no pixel of 0 to 255 has; values that span next to nothing of what pixels do, as those of 0
    to 1 where the deviation is 1; values without a negative one where dark pixels are negative; and values
    that fill -1 to 1 or -0.5 to 0.5 where the model's range is wider.
    """
    darkest, brightest = level_range(preprocessing, mean_image)
    span = brightest - darkest
    found = f"values from {low.min():.4g} to {high.max():.4g}"
    expected = f"this model's photos have {darkest.min():.4g} to {brightest.max():.4g} after normalisation"
    if (low == high).all():
        return ()
    if (low < darkest - _RANGE_MARGIN * span).any() or (high > brightest + _RANGE_MARGIN * span).any():
        doubt = "which no pixels give"
    elif high.max() - low.min() < _NARROW_SHARE * span.max():
        doubt = "which is next to no contrast"
    elif low.min() >= 0 and (darkest < -_RANGE_MARGIN * span).all():
        doubt = "none of them negative, as if they were pixels"
    elif formula := _matching_formula(float(low.min()), float(high.max()), float(span.max())):
        doubt = f"as if they were pixels scaled by {formula} (undo that)"
    else:
        return ()
    return (Notice("tensor-range", f"{found}, {doubt}: {expected}; {_SCALE_ADVICE}", field),)


def _matching_formula(low: float, high: float, span: float) -> str | None:
    """Return the formula of another framework that values were likely scaled by.

    span: the width of what the model's photos have.
    """
    for half, formula in _SYMMETRIC.items():
        filled = all((1 - _FILL_TOLERANCE) * half <= end <= 1.001 * half for end in (-low, high))
        if filled and span > _WIDER_FACTOR * 2 * half:
            return formula
    return None


def _dark_pixel_notices(scale: TensorScale, high: NDArray[np.float32], field: str) -> tuple[Notice, ...]:
    if scale != "pixels_255" or not 0 < high.max() <= 1:
        return ()
    message = (
        f"no pixel is brighter than {high.max():.4g} of 255; for pixels of 0 to 1 state tensor_scale PIXELS_1"
    )
    return (Notice("tensor-range", message, field),)
