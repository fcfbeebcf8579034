"""Feature maps as tiles."""

import numpy as np
import pytest

from zfscope.images.feature_maps import MapPicture
from zfscope.images.geometry import Box

VALUES = np.array([[-2.0, 0.0], [1.0, 2.0]], np.float32)


def test_a_signed_map_is_grey_at_zero_and_symmetric() -> None:
    tile = np.asarray(MapPicture(VALUES, signed=True).tile(16))
    assert tile[0, 15].tolist() == [128, 128, 128]
    assert (tile[0, 0, 0], tile[15, 15, 0]) == (1, 255)


def test_a_map_without_negative_values_has_the_colours_of_viridis_from_zero() -> None:
    drawn = MapPicture(np.abs(VALUES), signed=False)
    tile = np.asarray(drawn.tile(16))
    assert tile[0, 15].tolist() == [68, 1, 84]
    assert tile[0, 0].tolist() == tile[15, 15].tolist() == [253, 231, 37]
    assert drawn.note == "viridis, linear; dark violet = 0; yellow = 2 or more"


@pytest.mark.parametrize("signed", [True, False])
def test_a_map_of_zeros_or_rounding_errors_has_the_colour_of_zero(signed: bool) -> None:
    zeros = np.asarray(MapPicture(np.zeros((2, 2), np.float32), signed).tile(8))
    silent = MapPicture(VALUES * 1e-9, signed, silent=True)
    np.testing.assert_array_equal(np.asarray(silent.tile(8)), zeros)
    assert zeros[0, 0].tolist() == ([128, 128, 128] if signed else [68, 1, 84])
    assert "all values are 0" in silent.note


def test_the_scale_is_that_of_the_map() -> None:
    rendering = MapPicture(VALUES, signed=True).rendering(16)
    assert rendering.rgb.shape == (16, 16, 3)
    assert "full white = +2 or more (255)" in rendering.scale


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((4, 4), Box(8, 8, 16, 16)), ((2, 4), Box(8, 16, 16, 24)), ((4, 2), Box(16, 8, 24, 16))],
)
def test_a_unit_is_found_in_the_tile(shape: tuple[int, int], expected: Box) -> None:
    """Tiles of maps that are not square are padded on both sides."""
    drawn = MapPicture(np.zeros(shape, np.float32), signed=True)
    assert drawn.on_tile(Box(1, 1, 2, 2), 32) == expected
