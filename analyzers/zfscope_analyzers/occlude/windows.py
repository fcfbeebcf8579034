"""Occluded windows of the network's input, windows from masks, and maps of their effects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.decode import decode_grey, single_channel_limits, stored_size
from zfscope.images.geometry import Geometry
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.images.preprocess import Prepared
from zfscope.results import Notice

# Mask pixels lighter than this, on a scale of 0 to 255, are occluded.
_LIGHT = 127

# Maximum number of windows of one size that are processed together: it bounds the memory of their pixels, and
# the time until the next results. Smaller batches would read the weights of large layers more often.
_BATCH_SIZE = 256
# Maximum number of windows that are not processed from coarse to fine.
_FEW = 64


@dataclass(frozen=True, eq=False)
class OcclusionWindow:
    """Occluded rectangle of the network's input, from row `y` and column `x`.

    mask: bool (height, width), the pixels that are occluded; True for all. warnings: assumptions made when
    the mask's file was decoded.
    """

    y: int
    x: int
    height: int
    width: int
    mask: NDArray[np.bool_] | bool = True
    warnings: tuple[Notice, ...] = ()

    @property
    def area(self) -> tuple[slice, slice]:
        """Slices of rows and columns."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def window_starts(side: int, window: int, stride: int) -> list[int]:
    """Return window positions along a side; the last window ends at the edge, to leave out no pixel."""
    last = max(side - window, 0)
    return [*range(0, last, stride), last]


def batches(windows: Sequence[OcclusionWindow]) -> Iterator[list[int]]:
    """Yield batches of indices of windows that have the same size.

    Of a grid, every fourth window of every fourth row comes first, then every second, then the others:
    partial results soon cover the whole photo.
    """
    sizes = dict.fromkeys((window.height, window.width) for window in windows)
    for size in sizes:
        indices = [n for n, window in enumerate(windows) if (window.height, window.width) == size]
        for level in _coarse_to_fine(windows, indices):
            for start in range(0, len(level), _BATCH_SIZE):
                yield level[start : start + _BATCH_SIZE]


def _coarse_to_fine(windows: Sequence[OcclusionWindow], indices: list[int]) -> list[list[int]]:
    if len(indices) <= _FEW:
        return [indices]
    rows, columns = (
        np.unique(starts, return_inverse=True)[1]
        for starts in np.transpose([(windows[index].y, windows[index].x) for index in indices])
    )
    # The bits of both numbers: divisible by four only if both numbers are.
    either = rows | columns
    level = np.where(either % 4 == 0, 0, np.where(either % 2 == 0, 1, 2))
    return [np.array(indices)[level == number].tolist() for number in range(3)]


def average_over_windows(
    values: NDArray[np.floating], windows: Sequence[OcclusionWindow], size: tuple[int, int], elsewhere: float
) -> NDArray[np.float32]:
    """Return the mean value of the windows that occlude each pixel, (H, W); `elsewhere` if none does."""
    total, count = np.zeros(size), np.zeros(size)
    for value, window in zip(values, windows, strict=True):
        total[window.area] += value * window.mask
        count[window.area] += window.mask
    return np.where(count, total / np.maximum(count, 1), elsewhere).astype(np.float32)


def likeliest_map(
    likeliest: NDArray[np.int64], windows: Sequence[OcclusionWindow], size: tuple[int, int], elsewhere: int
) -> NDArray[np.int64]:
    """Return for each pixel the class that is most likely in most of its windows; on ties, the first."""
    best, most = np.full(size, elsewhere, np.int64), np.zeros(size, np.int64)
    for number in np.unique(likeliest):
        votes = np.zeros(size, np.int64)
        for index in np.flatnonzero(likeliest == number):
            votes[windows[int(index)].area] += windows[int(index)].mask
        best, most = np.where(votes > most, number, best), np.maximum(votes, most)
    return best


def resample_to_photo(heat: NDArray[np.float32], prepared: Prepared, elsewhere: float) -> NDArray[np.float32]:
    """Resample a map of the crop to the decoded photo; pixels outside of the crop get `elsewhere`."""
    height, width = prepared.photo.shape[:2]
    region, (rows, columns) = prepared.geometries[0].resized((height, width)).region, heat.shape
    y = np.floor((np.arange(height) + 0.5 - region.y0) * rows / region.height).astype(int)
    x = np.floor((np.arange(width) + 0.5 - region.x0) * columns / region.width).astype(int)
    resampled = heat[np.clip(y, 0, rows - 1)[:, None], np.clip(x, 0, columns - 1)]
    inside = ((y >= 0) & (y < rows))[:, None] & ((x >= 0) & (x < columns))
    return np.where(inside, resampled, np.float32(elsewhere))


def window_from_mask(data: bytes, prepared: Prepared, field: str, limits: DecodeLimits) -> OcclusionWindow:
    """Return the bounding window of a mask within the first crop.

    data: image file as large as the photo; pixels lighter than 127 are occluded. A pixel of the crop is
    occluded if the photo's pixel nearest to its centre is.
    Raises InputError, naming `field`, for a file that is not an image, for an image of another size, and for
    a mask that lies outside of the crop.
    """
    geometry = prepared.geometries[0]
    light, warnings = light_pixels(data, geometry.photo_size, field, limits)
    window = bounding_window(_in_crop(light, geometry), warnings)
    if window is None:
        raise InputError(
            f"{field} has no occluded pixel within {seen_part(geometry)}; pixels lighter than {_LIGHT} are "
            "occluded",
            field=field,
        )
    return window


def bounding_window(occluded: NDArray[np.bool_], warnings: tuple[Notice, ...] = ()) -> OcclusionWindow | None:
    """Return the smallest window with all occluded pixels; None if there are none. occluded: of the crop."""
    y, x = np.nonzero(occluded)
    if not y.size:
        return None
    top, left, bottom, right = int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1
    return OcclusionWindow(top, left, bottom - top, right - left, occluded[top:bottom, left:right], warnings)


def seen_part(geometry: Geometry) -> str:
    """Return a description of the part of the photo that the network sees, for errors."""
    box = geometry.region
    return (
        f"the part of the photo that the network sees, ({box.x0:g}, {box.y0:g}) to ({box.x1:g}, {box.y1:g})"
    )


class LightPixels(NamedTuple):
    """Mask pixels lighter than 127, bool (H, W), and the assumptions made when the file was decoded."""

    pixels: NDArray[np.bool_]
    warnings: tuple[Notice, ...]


def light_pixels(
    data: bytes, size: tuple[int, int], field: str, limits: DecodeLimits | None = None
) -> LightPixels:
    """Return the light pixels of an image file, which must have the size (height, width).

    Colours count by their luminance (ITU-R 601), transparent pixels as black. A large JPEG is decoded at a
    reduced size, and the result is smaller. limits: decoding limits; by default those of the environment.
    Raises InputError for a file that is not an image, exceeds the limits or has another size.
    """
    limits = limits or environment_limits()
    stored = stored_size(data, limits=single_channel_limits(limits), field=field)
    if sorted(stored) != sorted(size):  # in either orientation: known from the header, without decoding
        raise _size_error(stored, size, field)
    mask = decode_grey(data, limits=limits, field=field)
    if mask.size != size:
        raise _size_error(mask.size, size, field)
    light: NDArray[np.bool_] = mask.pixels > _LIGHT
    return LightPixels(light, tuple(notice for notice in mask.warnings if notice.code != "colour-profile"))


def _size_error(mask: tuple[int, ...], photo: tuple[int, int], field: str) -> InputError:
    return InputError(
        f"{field} is {mask[1]} x {mask[0]} pixels; the photo is {photo[1]} x {photo[0]}: a mask must have "
        "the photo's size, after EXIF orientation",
        field=field,
    )


def _in_crop(pixels: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.bool_]:
    """Return, for each pixel of the crop, the photo's pixel at its centre."""
    geometry = geometry.resized((pixels.shape[0], pixels.shape[1]))
    (height, width), region = geometry.network_size, geometry.region
    rows = np.floor(region.y0 + (np.arange(height) + 0.5) * region.height / height).astype(int)
    columns = np.floor(region.x0 + (np.arange(width) + 0.5) * region.width / width).astype(int)
    result: NDArray[np.bool_] = pixels[np.ix_(rows, columns)]
    return result
