"""Mosaics of the tiles of a map."""

import numpy as np

from zfscope.gallery.inspect import mosaic


def test_missing_tiles_are_white_because_grey_is_a_projection_of_zero() -> None:
    grey = np.full((4, 4, 3), 128, np.uint8)
    drawn = np.asarray(mosaic([grey, None, grey], 4, 2))
    assert drawn.shape == (8, 8, 3)
    assert (drawn[:4, :4] == 128).all()
    assert (drawn[4:, :4] == 128).all()
    assert (drawn[:, 4:] == 255).all()
