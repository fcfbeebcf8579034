"""Pictures of a gallery: the tiles of a map in one file, without gaps, which the page lays over them."""

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zfscope.images.chunks import PICTURE_KEY
from zfscope.images.render import Rgb

MOST_PX = 144
"""The side of a tile at most; a larger frame is reduced, and a smaller one stays as it is."""
_EXACT_BELOW_PX = 48
_QUALITY = 90
_EMPTY = 255


def tile_px(size: int) -> int:
    """Give the side of the tile of a frame."""
    return min(size, MOST_PX)


def suffix_of(size: int) -> str:
    """Say in which format tiles of a frame are written: small ones, whose pixels are seen singly, exactly."""
    return "png" if tile_px(size) < _EXACT_BELOW_PX else "jpg"


def columns_of(top: int) -> int:
    """Give the tiles of a row: 3 x 3 of nine as in the paper, 2 x 2 of four, one row of fewer."""
    return top if top < 4 else math.ceil(math.sqrt(top))


def mosaic(tiles: Sequence[Rgb | None], size: int, columns: int) -> Rgb:
    """Lay tiles of one size out in rows, reduced where they are too large.

    A place without a tile is white: grey is what projections of zero and the outside of photos have.
    """
    side, rows = tile_px(size), math.ceil(len(tiles) / columns)
    whole = np.full((rows * side, columns * side, 3), _EMPTY, np.uint8)
    for place, tile in enumerate(tiles):
        if tile is not None:
            top, left = side * (place // columns), side * (place % columns)
            whole[top : top + side, left : left + side] = _reduced(tile, side)
    return whole


def encode(picture: Rgb, size: int, *, exact_colours: bool = True) -> bytes:
    """Encode a mosaic of tiles of a frame; exact_colours: one for each pixel, not for each four."""
    file, image = io.BytesIO(), Image.fromarray(picture)
    if suffix_of(size) == "png":
        chunks = PngInfo()
        chunks.add_text(PICTURE_KEY, "gallery")
        image.save(file, "PNG", pnginfo=chunks)
    else:
        image.save(file, "JPEG", quality=_QUALITY, subsampling=0 if exact_colours else 2)
    return file.getvalue()


def _reduced(tile: Rgb, side: int) -> Rgb:
    if tile.shape[0] == side:
        return tile
    return np.asarray(Image.fromarray(tile).resize((side, side), Image.Resampling.BICUBIC))
