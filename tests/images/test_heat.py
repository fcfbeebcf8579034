"""Tests of heat maps: a scale from minimum to maximum, or a single colour for rounding differences."""

import numpy as np
from numpy.typing import NDArray

from zfscope.images.heat import attribution_panel, heat_panel, viridis

SIDE = 64
VIEW = np.full((8, 8, 3), 128, np.uint8)
NOISE = np.random.default_rng(0).uniform(-1e-7, 1e-7, (8, 8)).astype(np.float32)


def panel(values: NDArray[np.floating], floor: float = 0.0) -> NDArray[np.uint8]:
    return np.asarray(heat_panel(values, VIEW, "caption", side_px=SIDE, floor=floor))


def count_map_colours(panel_pixels: NDArray[np.uint8]) -> int:
    return len(np.unique(panel_pixels[:SIDE, :SIDE].reshape(-1, 3), axis=0))


def test_the_scale_extends_from_minimum_to_maximum() -> None:
    values = np.linspace(0.2, 0.9, 64).reshape(8, 8)
    assert count_map_colours(panel(values)) > 30
    assert viridis(values, 0.2, 0.9)[0, 0].tolist() == [68, 1, 84]
    assert viridis(values, 0.2, 0.9)[-1, -1].tolist() == [253, 231, 37]


def test_values_that_differ_by_rounding_get_one_colour_and_one_number() -> None:
    noisy, level = panel(np.float32(0.98) + NOISE), panel(np.full((8, 8), np.float32(0.98)))
    assert count_map_colours(noisy) == 1
    np.testing.assert_array_equal(noisy, level)


def test_a_relative_change_of_a_thousandth_is_visible() -> None:
    values = np.full((8, 8), 1e-5)
    values[2:4, 2:4] *= 0.999
    assert count_map_colours(panel(values)) > 1


def test_differences_up_to_floor_get_one_colour() -> None:
    values = np.full((8, 8), 1e-5)
    values[2:4, 2:4] *= 0.999
    assert count_map_colours(panel(values, floor=1e-7)) == 1


def test_a_map_of_zeros_gets_one_colour() -> None:
    assert count_map_colours(panel(np.zeros((8, 8)))) == 1


def test_an_attribution_is_red_above_zero_blue_below_and_as_the_photo_at_zero() -> None:
    values = np.zeros((8, 8))
    values[:, :2], values[:, 6:] = -1, 1
    pixels = np.asarray(attribution_panel(values, VIEW, "caption", side_px=SIDE))[SIDE // 2, :SIDE].astype(
        int
    )
    left, middle, right = pixels[4], pixels[SIDE // 2], pixels[-5]
    assert left[2] > left[0] + 60
    assert right[0] > right[2] + 60
    assert np.ptp(middle) == 0


def test_strong_outliers_do_not_hide_an_attribution_and_zeros_have_no_scale() -> None:
    values = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    outlier = values.copy()
    outlier[-1, -1] = 1e3
    view = np.full((64, 64, 3), 128, np.uint8)
    plain, clipped = (
        np.asarray(attribution_panel(shown, view, "", side_px=SIDE)).astype(int)
        for shown in (values, outlier)
    )
    assert np.abs(plain[:60, :60] - clipped[:60, :60]).max() <= 1
    assert count_map_colours(np.asarray(attribution_panel(0 * values, view, "", side_px=SIDE))) == 1


def test_attributions_can_share_a_scale() -> None:
    weak, strong = (
        np.asarray(attribution_panel(np.full((8, 8), value), VIEW, "", side_px=SIDE, scale=1.0))
        for value in (0.5, 1.0)
    )
    assert weak[0, 0, 1] > strong[0, 0, 1]
