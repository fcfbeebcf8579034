"""First-layer filters as pictures: all of them in a grid, zero as mid-grey (Fig 6a, b, d)."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.errors import InputError
from zfscope.images.compose import grid
from zfscope.images.render import Rendering, scale_note, signed_to_rgb
from zfscope.rounding import rounding

Scale = Literal["common", "own"]
"""One scale for all filters, on which a large one leaves the others grey, or one for each of them."""

_GAP_PX = 2


def filter_grid(filters: NDArray[np.floating], scale: Scale, *, width_px: int) -> Rendering:
    """Draw filters, (n, 3, k, k) RGB, in a square grid, in reading order, at most `width_px` wide.

    Every weight is a square of whole pixels, one at least, even where the grid becomes wider so. White and
    black are the largest magnitude there is, of all filters or of each: no weight is cut off. A filter whose
    weights are all rounding of the largest one is grey on its own scale too.
    Raises InputError for none, and for filters that do not have three colours.
    """
    if filters.ndim != 4 or not len(filters) or filters.shape[1] != 3:
        raise InputError(f"filters of shape {filters.shape}; pictures are drawn of (n, 3, rows, columns)")
    columns = math.ceil(math.sqrt(len(filters)))
    factor = max(1, (width_px - (columns - 1) * _GAP_PX) // (columns * filters.shape[3]))
    largest = np.abs(filters).max(axis=(1, 2, 3))
    alive = largest > rounding(float(largest.max()))
    full = np.full_like(largest, largest.max()) if scale == "common" else np.where(alive, largest, 0)
    tiles = [
        _enlarged(Image.fromarray(signed_to_rgb(each, scale=float(most))), factor)
        for each, most in zip(filters, full, strict=True)
    ]
    picture = grid(tiles, columns, gap=_GAP_PX, row_gap=_GAP_PX)
    return Rendering(np.asarray(picture), _note(scale, float(largest.max())))


def strongest_part(projection: NDArray[np.floating], size_px: int) -> NDArray[np.floating]:
    """Cut the square of that side around the largest magnitude out of a projection, (3, H, W).

    It lies inside, and is smaller where the projection is.
    """
    strength = np.abs(projection).max(axis=0)
    starts = (
        min(max(0, place - size_px // 2), max(0, side - size_px))
        for place, side in zip(
            np.unravel_index(strength.argmax(), strength.shape), strength.shape, strict=True
        )
    )
    top, left = map(int, starts)
    return projection[:, top : top + size_px, left : left + size_px]


def _enlarged(tile: Image.Image, factor: int) -> Image.Image:
    return tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)


def _note(scale: Scale, largest: float) -> str:
    if scale == "common":
        return f"all filters on one scale: {scale_note(largest)}"
    return f"each filter on a scale of its own, {largest:.4g} at most: symmetric linear; 128 grey = 0"
