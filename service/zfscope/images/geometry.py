"""Where a pixel of the network's input lies in the photo, and back."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, half open: pixel column `i` covers `i` to `i + 1`.

    It may reach outside the picture, as the receptive field of a unit at the border does.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns of a box of whole pixels that does not overhang, as indices of an array."""
        return slice(int(self.y0), int(self.y1)), slice(int(self.x0), int(self.x1))

    def moved(self, dx: float, dy: float) -> "Box":
        """Return the box shifted by `dx` to the right and `dy` down."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def clip(self, size: tuple[int, int]) -> "Box":
        """Return the part inside a picture of `size` (height, width), of no area where nothing is inside."""
        height, width = size
        return Box(
            _clamp(self.x0, width),
            _clamp(self.y0, height),
            _clamp(self.x1, width),
            _clamp(self.y1, height),
        )

    def inside(self, size: tuple[int, int]) -> "Box":
        """Return what `clip` does, in pixels from the corner of this box."""
        return self.clip(size).moved(-self.x0, -self.y0)

    def whole(self) -> "Box":
        """Return the smallest box of whole pixels around this one; its edges are integers."""
        return Box(math.floor(self.x0), math.floor(self.y0), math.ceil(self.x1), math.ceil(self.y1))


@dataclass(frozen=True)
class Geometry:
    """The place of one network input in a photo; sizes are (height, width) in pixels.

    The network's picture shows `region` of the upright photo, resampled to `network_size`, and
    `flipped` left to right where it is one of the mirror images.
    """

    photo_size: tuple[int, int]
    network_size: tuple[int, int]
    region: Box
    flipped: bool = False

    def resized(self, size: tuple[int, int]) -> "Geometry":
        """Return the same place in the photo resampled to `size` (height, width)."""
        if size == self.photo_size:
            return self
        down, across = size[0] / self.photo_size[0], size[1] / self.photo_size[1]
        region = self.region
        scaled = Box(region.x0 * across, region.y0 * down, region.x1 * across, region.y1 * down)
        return Geometry(size, self.network_size, scaled, self.flipped)

    def to_photo(self, box: Box) -> Box:
        """Return the photo pixels that a box of network pixels shows; not clipped to the photo."""
        across, down = self._photo_pixels_per_network_pixel()
        upright = self._mirrored(box)
        scaled = Box(upright.x0 * across, upright.y0 * down, upright.x1 * across, upright.y1 * down)
        return scaled.moved(self.region.x0, self.region.y0)

    def to_network(self, box: Box) -> Box:
        """Return the network pixels that show a box of photo pixels; not clipped to the input."""
        across, down = self._photo_pixels_per_network_pixel()
        placed = box.moved(-self.region.x0, -self.region.y0)
        scaled = Box(placed.x0 / across, placed.y0 / down, placed.x1 / across, placed.y1 / down)
        return self._mirrored(scaled)

    def _photo_pixels_per_network_pixel(self) -> tuple[float, float]:
        height, width = self.network_size
        return self.region.width / width, self.region.height / height

    def _mirrored(self, box: Box) -> Box:
        if not self.flipped:
            return box
        width = self.network_size[1]
        return Box(width - box.x1, box.y0, width - box.x0, box.y1)


def extract(picture: NDArray[Number], box: Box, fill: int = 0) -> NDArray[Number]:
    """Return the pixels of a box of whole ones of a picture, (H, W, ...); those that overhang are `fill`."""
    size = (picture.shape[0], picture.shape[1])
    part = np.full((int(box.height), int(box.width), *picture.shape[2:]), fill, picture.dtype)
    part[box.inside(size).slices] = picture[box.clip(size).slices]
    return part


def _clamp(position: float, length: int) -> float:
    return min(max(position, 0), length)
