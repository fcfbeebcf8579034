"""The frame of a unit: a square of constant size around what it can see, zero where no picture is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.images.geometry import Box, Number, cut
from zfscope.networks import Network
from zfscope.networks.receptive import ReceptiveField, receptive_fields


@dataclass(frozen=True)
class Framing:
    """What the units of a layer can see of pictures of `side` x `side` pixels.

    It is the receptive field; or the whole picture where that is no larger, as in fully connected layers.
    """

    field: ReceptiveField
    side: int

    @property
    def whole(self) -> bool:
        """Return whether every unit sees all of the picture."""
        return self.field.jump == 0 or self.field.size >= self.side

    @property
    def size(self) -> int:
        """The side of the frame in pixels."""
        return self.side if self.whole else self.field.size

    def box(self, y: int, x: int) -> Box:
        """Return the frame of unit (y, x) in pixels of the picture, at whose edges it may overhang."""
        return Box(0, 0, self.side, self.side) if self.whole else Box(*self.field.box(y, x))


def framing_of(network: Network, layer: str) -> Framing:
    """Say what the units of a layer can see."""
    return Framing(receptive_fields(network.spec)[layer], network.shapes["input"][1])


def cut_planes(planes: NDArray[Number], box: Box) -> NDArray[Number]:
    """Cut a box out of a picture by planes, (3, H, W), as `cut` does: (3, rows, columns)."""
    return np.ascontiguousarray(cut(planes.transpose(1, 2, 0), box).transpose(2, 0, 1))
