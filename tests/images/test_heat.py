"""Heat maps: a scale from the least value to the greatest, and none where only rounding differs."""

import numpy as np
from numpy.typing import NDArray

from zfscope.images.heat import heat_panel, viridis

SIDE = 64
VIEW = np.full((8, 8, 3), 128, np.uint8)
NOISE = np.random.default_rng(0).uniform(-1e-7, 1e-7, (8, 8)).astype(np.float32)


def panel(values: NDArray[np.floating], floor: float = 0.0) -> NDArray[np.uint8]:
    return np.asarray(heat_panel(values, VIEW, "what it is", side_px=SIDE, floor=floor))


def picture_colours(drawn: NDArray[np.uint8]) -> int:
    return len(np.unique(drawn[:SIDE, :SIDE].reshape(-1, 3), axis=0))


def test_the_ends_of_the_scale_are_the_least_and_the_greatest_value() -> None:
    values = np.linspace(0.2, 0.9, 64).reshape(8, 8)
    assert picture_colours(panel(values)) > 30
    assert viridis(values, 0.2, 0.9)[0, 0].tolist() == [68, 1, 84]
    assert viridis(values, 0.2, 0.9)[-1, -1].tolist() == [253, 231, 37]


def test_rounding_has_one_colour_and_one_number_below() -> None:
    noisy, level = panel(np.float32(0.98) + NOISE), panel(np.full((8, 8), np.float32(0.98)))
    assert picture_colours(noisy) == 1
    np.testing.assert_array_equal(noisy, level)


def test_a_change_of_a_thousandth_of_the_value_is_shown() -> None:
    values = np.full((8, 8), 1e-5)
    values[2:4, 2:4] *= 0.999
    assert picture_colours(panel(values)) > 1


def test_a_caller_may_know_of_more_rounding() -> None:
    values = np.full((8, 8), 1e-5)
    values[2:4, 2:4] *= 0.999
    assert picture_colours(panel(values, floor=1e-7)) == 1


def test_a_map_of_zeros_is_level() -> None:
    assert picture_colours(panel(np.zeros((8, 8)))) == 1
