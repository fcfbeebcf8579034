"""Windows of the network's input that are covered, masks of a photo too, and maps made of what each did."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.decode import decode_grey, roomy, stored_size
from zfscope.images.geometry import Geometry
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.images.preprocess import Prepared
from zfscope.results import Notice

_LIGHT = 127
"""A lighter pixel of a mask, on a scale of 0 to 255, is covered."""

_AT_ONCE = 2048
"""So many windows of one size are handled together at most: their pixels take memory."""


@dataclass(frozen=True, eq=False)
class Window:
    """A rectangle of the network's input that is covered: its first row and column, and its size.

    mask: which of its pixels are, bool (height, width); True for all of them. warnings: what was assumed of
    the mask's file.
    """

    y: int
    x: int
    height: int
    width: int
    mask: NDArray[np.bool_] | bool = True
    warnings: tuple[Notice, ...] = ()

    @property
    def area(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def starts(side: int, window: int, stride: int) -> list[int]:
    """Return the positions along a side; the last is moved to the edge, so that every pixel is covered."""
    last = max(side - window, 0)
    return [*range(0, last, stride), last]


def of_one_size(windows: Sequence[Window]) -> Iterator[list[int]]:
    """Yield the numbers of windows of one size, a bounded number at a time."""
    sizes = dict.fromkeys((window.height, window.width) for window in windows)
    for size in sizes:
        alike = [n for n, window in enumerate(windows) if (window.height, window.width) == size]
        for start in range(0, len(alike), _AT_ONCE):
            yield alike[start : start + _AT_ONCE]


def averaged(
    values: NDArray[np.floating], windows: Sequence[Window], size: tuple[int, int], elsewhere: float
) -> NDArray[np.float32]:
    """Return the mean value of all windows that cover a pixel: (H, W); `elsewhere` where none does."""
    total, count = np.zeros(size), np.zeros(size)
    for value, window in zip(values, windows, strict=True):
        total[window.area] += value * window.mask
        count[window.area] += window.mask
    return np.where(count, total / np.maximum(count, 1), elsewhere).astype(np.float32)


def likeliest_map(
    likeliest: NDArray[np.int64], windows: Sequence[Window], size: tuple[int, int], elsewhere: int
) -> NDArray[np.int64]:
    """Return for each pixel the class that most windows over it made likeliest, of equal ones the first."""
    best, most = np.full(size, elsewhere, np.int64), np.zeros(size, np.int64)
    for number in np.unique(likeliest):
        votes = np.zeros(size, np.int64)
        for place in np.flatnonzero(likeliest == number):
            votes[windows[int(place)].area] += windows[int(place)].mask
        best, most = np.where(votes > most, number, best), np.maximum(votes, most)
    return best


def on_photo(heat: NDArray[np.float32], prepared: Prepared, elsewhere: float) -> NDArray[np.float32]:
    """Spread a map of the crop over the decoded photo; pixels outside of the crop take `elsewhere`."""
    height, width = prepared.photo.shape[:2]
    region, (rows, columns) = prepared.geometries[0].resized((height, width)).region, heat.shape
    y = np.floor((np.arange(height) + 0.5 - region.y0) * rows / region.height).astype(int)
    x = np.floor((np.arange(width) + 0.5 - region.x0) * columns / region.width).astype(int)
    spread = heat[np.clip(y, 0, rows - 1)[:, None], np.clip(x, 0, columns - 1)]
    inside = ((y >= 0) & (y < rows))[:, None] & ((x >= 0) & (x < columns))
    return np.where(inside, spread, np.float32(elsewhere))


def masked(data: bytes, prepared: Prepared, field: str, limits: DecodeLimits) -> Window:
    """Return the smallest window of the first crop around what a mask covers in it.

    data: an image file as large as the photo, whose pixels lighter than 127 are covered. A pixel of the
    crop is where the photo's pixel nearest to its centre is.
    Raises InputError, naming `field`, for what is no image, for one of another size, and for a mask that
    covers nothing of the crop.
    """
    geometry = prepared.geometries[0]
    light, warnings = light_pixels(data, geometry.photo_size, field, limits)
    covered = _in_crop(light, geometry)
    y, x = np.nonzero(covered)
    if not y.size:
        region = geometry.region
        raise InputError(
            f"{field} covers nothing of what the network sees, ({region.x0:g}, {region.y0:g}) to "
            f"({region.x1:g}, {region.y1:g}) of the photo; pixels lighter than {_LIGHT} are covered",
            field=field,
        )
    top, left, bottom, right = int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1
    return Window(top, left, bottom - top, right - left, covered[top:bottom, left:right], warnings)


class LightPixels(NamedTuple):
    """Which pixels of a mask are lighter than 127: bool (H, W); and what was assumed of its file."""

    pixels: NDArray[np.bool_]
    warnings: tuple[Notice, ...]


def light_pixels(
    data: bytes, size: tuple[int, int], field: str, limits: DecodeLimits | None = None
) -> LightPixels:
    """Return the light pixels of an image file of a size (height, width), fewer of a large JPEG.

    A colour counts as its luminance (ITU-R 601), what is transparent as black. limits: those of the
    environment unless given. Raises InputError.
    """
    limits = limits or environment_limits()
    stored = stored_size(data, limits=roomy(limits), field=field)
    if sorted(stored) != sorted(size):  # turned or not: nothing has to be unpacked to know
        raise _misfit(stored, size, field)
    mask = decode_grey(data, limits=limits, field=field)
    if mask.size != size:
        raise _misfit(mask.size, size, field)
    light: NDArray[np.bool_] = mask.pixels > _LIGHT
    return LightPixels(light, tuple(notice for notice in mask.warnings if notice.code != "colour-profile"))


def _misfit(found: tuple[int, ...], photo: tuple[int, int], field: str) -> InputError:
    return InputError(
        f"{field} is {found[1]} x {found[0]} pixels; the photo is {photo[1]} x {photo[0]}: a mask has to be "
        "as large as the photo, after EXIF orientation",
        field=field,
    )


def _in_crop(pixels: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.bool_]:
    """Give, for each pixel of the crop, the pixel of the photo under its centre."""
    geometry = geometry.resized((pixels.shape[0], pixels.shape[1]))
    (height, width), region = geometry.network_size, geometry.region
    rows = np.floor(region.y0 + (np.arange(height) + 0.5) * region.height / height).astype(int)
    columns = np.floor(region.x0 + (np.arange(width) + 0.5) * region.width / width).astype(int)
    found: NDArray[np.bool_] = pixels[np.ix_(rows, columns)]
    return found
