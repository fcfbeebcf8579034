"""Frames of units: squares, of one size per layer, in which units are displayed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.images.geometry import Box, Number, extract
from zfscope.networks.receptive import ReceptiveField, receptive_fields
from zfscope.networks.spec import NetworkSpec, shapes


@dataclass(frozen=True)
class UnitFrame:
    """The frames of a layer's units, in images of `side` x `side` pixels.

    The frame of a unit is its receptive field, extended to a square, or the whole image if the field is at
    least as large.
    """

    field: ReceptiveField
    side: int

    @property
    def is_whole_image(self) -> bool:
        """Whether the frame of every unit is the whole image."""
        return self.field.jump == 0 or self.field.size >= self.side

    @property
    def size(self) -> int:
        """Side of a frame in pixels."""
        return self.side if self.is_whole_image else self.field.size

    def box(self, y: int, x: int) -> Box:
        """Return the frame of unit (y, x) in pixels; it may extend beyond the image."""
        if self.is_whole_image:
            return Box(0, 0, self.side, self.side)
        left, top, right, bottom = self.field.box(y, x)
        # A field that is not square is centred in its frame.
        left, top = left - (self.size - (right - left)) // 2, top - (self.size - (bottom - top)) // 2
        return Box(left, top, left + self.size, top + self.size)


def unit_frame(spec: NetworkSpec, layer: str) -> UnitFrame:
    """Return the frames of a layer's units."""
    return UnitFrame(receptive_fields(spec)[layer], spec.input_size)


def unit_cell(spec: NetworkSpec, layer: str, y: int, x: int) -> Box:
    """Return the part of the image that unit (y, x) of a layer with maps has, if it is divided evenly."""
    rows, columns = (spec.input_size / count for count in shapes(spec)[layer][1:])
    return Box(x * columns, y * rows, (x + 1) * columns, (y + 1) * rows)


def crop_planes(planes: NDArray[Number], box: Box) -> NDArray[Number]:
    """Crop a planar image (C, H, W) to a box, with zeros beyond the image: (C, rows, columns)."""
    return np.ascontiguousarray(extract(planes.transpose(1, 2, 0), box).transpose(2, 0, 1))
