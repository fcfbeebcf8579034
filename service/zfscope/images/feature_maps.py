"""Feature maps as pictures: grey around zero for signed activations, viridis from zero for others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.cancellation import checkpoint
from zfscope.images.geometry import Box
from zfscope.images.heat import viridis
from zfscope.images.render import Rendering, Rgb, scale_note, signed_to_rgb, symmetric_scale
from zfscope.images.tiles import fit_square

_TILE_PX = 224


@dataclass(frozen=True, eq=False)
class MapPicture:
    """Activations of one map, float32 (rows, columns), as a picture on a scale of its own.

    signed: whether the layer has negative activations; the picture is then grey where a unit is zero. silent:
    whether all activations are rounding errors; they are then shown as zero.
    """

    values: NDArray[np.float32]
    signed: bool
    silent: bool = False

    @property
    def scale(self) -> float:
        """Magnitude that is shown as full white, or yellow; 0 if all activations are zero."""
        return 0.0 if self.silent else symmetric_scale(self.values)

    @property
    def colours(self) -> str:
        """Meaning of the colours, in words."""
        if self.signed:
            return "grey is zero; white and black are equal positive and negative activations"
        return "dark violet is zero, yellow the strongest activation"

    @property
    def note(self) -> str:
        """Meaning of the colours, in numbers."""
        if self.signed:
            return scale_note(self.scale)
        if self.scale == 0:
            return "viridis, linear; dark violet = 0; all values are 0"
        return f"viridis, linear; dark violet = 0; yellow = {self.scale:.4g} or more"

    def tile(self, size_px: int) -> Image.Image:
        """Return the map as a square tile; the shorter side of other maps is padded with grey."""
        checkpoint()
        return fit_square(self._pixels(), size_px)

    def rendering(self, size_px: int = _TILE_PX) -> Rendering:
        """Return the map as a tile with the meaning of its levels."""
        return Rendering(np.asarray(self.tile(size_px)), self.note)

    def on_tile(self, units: Box, size_px: int) -> Box:
        """Return where a box of the map's rows and columns is in its tile, in pixels."""
        rows, columns = self.values.shape
        factor = size_px / max(rows, columns)
        box = Box(units.x0 * factor, units.y0 * factor, units.x1 * factor, units.y1 * factor)
        return box.moved((size_px - columns * factor) / 2, (size_px - rows * factor) / 2)

    def _pixels(self) -> Rgb:
        if self.signed:
            return signed_to_rgb(self.values[None], scale=self.scale)
        return viridis(self.values if self.scale else np.zeros_like(self.values), 0, self.scale or 1)
