"""Coordinates of boxes in a photo and in the network's input, and the mapping between the two."""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class Box:
    """Rectangle in pixels, half open: pixel column `i` extends from `i` to `i + 1`.

    It may extend beyond the image, like the receptive field of a unit at the border.
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
        """Row and column slices of an array. The box must have integer edges and lie inside the image."""
        return slice(int(self.y0), int(self.y1)), slice(int(self.x0), int(self.x1))

    def moved(self, dx: float, dy: float) -> "Box":
        """Return the box shifted by `dx` to the right and `dy` down."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def clip(self, size: tuple[int, int]) -> "Box":
        """Return the part inside an image of `size` (height, width); its area is 0 if they do not overlap."""
        height, width = size
        return Box(
            _clamp(self.x0, width),
            _clamp(self.y0, height),
            _clamp(self.x1, width),
            _clamp(self.y1, height),
        )

    def inside(self, size: tuple[int, int]) -> "Box":
        """Return the clipped box (see `clip`) relative to the top left corner of this box."""
        return self.clip(size).moved(-self.x0, -self.y0)

    def whole(self) -> "Box":
        """Return the smallest box with integer edges that contains this one."""
        return Box(math.floor(self.x0), math.floor(self.y0), math.ceil(self.x1), math.ceil(self.y1))


@dataclass(frozen=True)
class Geometry:
    """Position of a network input in its photo; sizes are (height, width) in pixels.

    The network's input shows `region` of the upright photo, resampled to `network_size`, and mirrored left to
    right if `flipped`:

        photo_size                    network_size
        +------------------------+    +----------+
        |        +--region--+    |    |          |
        |        |          |    | -> |          |
        |        +----------+    |    +----------+
        +------------------------+
    """

    photo_size: tuple[int, int]
    network_size: tuple[int, int]
    region: Box
    flipped: bool = False

    def resized(self, size: tuple[int, int]) -> "Geometry":
        """Return the same position in the photo resampled to `size` (height, width)."""
        if size == self.photo_size:
            return self
        down, across = size[0] / self.photo_size[0], size[1] / self.photo_size[1]
        region = self.region
        scaled = Box(region.x0 * across, region.y0 * down, region.x1 * across, region.y1 * down)
        return Geometry(size, self.network_size, scaled, self.flipped)

    def to_photo(self, box: Box) -> Box:
        """Map a box from network pixels to photo pixels; it is not clipped to the photo."""
        across, down = self._photo_pixels_per_network_pixel()
        upright = self._mirrored(box)
        scaled = Box(upright.x0 * across, upright.y0 * down, upright.x1 * across, upright.y1 * down)
        return scaled.moved(self.region.x0, self.region.y0)

    def to_network(self, box: Box) -> Box:
        """Map a box from photo pixels to network pixels; it is not clipped to the input."""
        across, down = self._photo_pixels_per_network_pixel()
        relative = box.moved(-self.region.x0, -self.region.y0)
        scaled = Box(relative.x0 / across, relative.y0 / down, relative.x1 / across, relative.y1 / down)
        return self._mirrored(scaled)

    def point_to_network(self, x: float, y: float) -> tuple[float, float]:
        """Map a point from photo pixels to network pixels."""
        point = self.to_network(Box(x, y, x, y))
        return point.x0, point.y0

    def _photo_pixels_per_network_pixel(self) -> tuple[float, float]:
        height, width = self.network_size
        return self.region.width / width, self.region.height / height

    def _mirrored(self, box: Box) -> Box:
        if not self.flipped:
            return box
        width = self.network_size[1]
        return Box(width - box.x1, box.y0, width - box.x0, box.y1)


def extract(picture: NDArray[Number], box: Box, fill: int = 0) -> NDArray[Number]:
    """Return the pixels of a box with integer edges from an image, (H, W, ...); `fill` outside the image."""
    size = (picture.shape[0], picture.shape[1])
    pixels = np.full((int(box.height), int(box.width), *picture.shape[2:]), fill, picture.dtype)
    pixels[box.inside(size).slices] = picture[box.clip(size).slices]
    return pixels


def _clamp(position: float, length: int) -> float:
    return min(max(position, 0), length)
