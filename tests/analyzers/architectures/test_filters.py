"""Filters drawn in a grid, on a common or on individual scales."""

import numpy as np
import pytest
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope_analyzers.architectures.figure import Scale, crop_strongest, filter_grid


def filters(*levels: float, side: int = 3) -> NDArray[np.float64]:
    """Make filters with one nonzero weight each, in all colours, at the centre."""
    result = np.zeros((len(levels), 3, side, side))
    result[:, :, side // 2, side // 2] = np.array(levels)[:, None]
    return result


def middles(rgb: NDArray[np.uint8], columns: int, count: int) -> list[int]:
    """Return the centre pixel of each tile of a grid with gaps of 2 px."""
    tile = (rgb.shape[1] - 2 * (columns - 1)) // columns
    places = [divmod(number, columns) for number in range(count)]
    start = tile // 2
    return [int(rgb[start + y * (tile + 2), start + x * (tile + 2), 0]) for y, x in places]


def test_on_a_common_scale_a_dominant_filter_leaves_the_others_grey() -> None:
    rgb = filter_grid(filters(1.0, 0.5, -1.0, 0.0), "common", width_px=100).rgb
    assert middles(rgb, 2, 4) == [255, 192, 1, 128]


def test_on_individual_scales_every_nonzero_filter_reaches_full_contrast() -> None:
    rgb = filter_grid(filters(1.0, 0.01, -0.5, 0.0), "individual", width_px=100).rgb
    assert middles(rgb, 2, 4) == [255, 255, 1, 128]


@pytest.mark.parametrize("scale", ["common", "individual"])
def test_zero_is_mid_grey_on_every_scale(scale: Scale) -> None:
    rgb = filter_grid(filters(3.0, -0.2), scale, width_px=60).rgb
    assert (rgb[0, :20] == 128).all()


def test_the_largest_weight_is_not_clipped() -> None:
    ramp = np.arange(27.0).reshape(1, 3, 3, 3)
    assert filter_grid(ramp, "common", width_px=3).rgb.ravel().tolist().count(255) == 1


def test_weights_are_drawn_as_squares_of_whole_pixels_in_reading_order() -> None:
    rgb = filter_grid(filters(1.0, 0.5, 0.25), "common", width_px=30).rgb
    # Two columns of 3 weights with 4 px each, and a gap: 2 * 12 + 2.
    assert rgb.shape == (26, 26, 3)
    assert (rgb[4:8, 4:8] == 255).all()
    assert (rgb[4:8, :4] == 128).all()
    assert middles(rgb, 2, 3) == [255, 192, 160]


def test_many_filters_are_drawn_even_if_the_grid_exceeds_the_width() -> None:
    assert filter_grid(np.ones((100, 3, 11, 11)), "individual", width_px=50).rgb.shape == (128, 128, 3)


def test_the_picture_explains_its_grey_levels() -> None:
    common, individual = (
        filter_grid(filters(2.0, -4.0), scale, width_px=60).scale for scale in ("common", "individual")
    )
    assert common.startswith(
        "all filters on one common scale: symmetric linear; 128 grey = 0; full white = +4"
    )
    assert individual == "each filter on its own scale, at most 4: symmetric linear; 128 grey = 0"


@pytest.mark.parametrize("shape", [(0, 3, 7, 7), (4, 2, 7, 7), (3, 7, 7)])
def test_arrays_that_are_not_filters_of_an_image_are_rejected(shape: tuple[int, ...]) -> None:
    expected = r"filters of shape .*; expected \(n, 3, rows, columns\) or \(n, 1, rows, columns\)"
    with pytest.raises(InputError, match=expected):
        filter_grid(np.zeros(shape), "individual", width_px=60)


def test_filters_of_one_channel_are_drawn_in_grey() -> None:
    grey = np.random.default_rng(3).normal(size=(4, 1, 5, 5))
    drawn = filter_grid(grey, "common", width_px=60).rgb
    np.testing.assert_array_equal(drawn, filter_grid(grey.repeat(3, axis=1), "common", width_px=60).rgb)


@pytest.mark.parametrize(("y", "x"), [(10, 12), (0, 0), (19, 29)])
def test_the_crop_lies_inside_the_projection_and_contains_the_maximum(y: int, x: int) -> None:
    projection = np.random.default_rng(0).normal(size=(3, 20, 30))
    projection[1, y, x] = -9
    part = crop_strongest(projection, 6)
    assert part.shape == (3, 6, 6)
    assert part.min() == -9


def test_a_projection_smaller_than_the_crop_is_returned_whole() -> None:
    projection = np.ones((3, 5, 4))
    assert crop_strongest(projection, 6).shape == (3, 5, 4)


def test_a_filter_that_is_only_rounding_is_grey_on_its_own_scale() -> None:
    rgb = filter_grid(filters(1.0, 1e-9, 1e-4, 0.0), "individual", width_px=100).rgb
    assert middles(rgb, 2, 4) == [255, 128, 255, 128]
