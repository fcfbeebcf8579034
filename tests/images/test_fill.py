"""Fills of removed parts: as images, and as the network receives them."""

import numpy as np
import pytest

from zfscope.images.fill import fill_image, fill_input
from zfscope.images.normalise import Preprocessing

VIEW = np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("fill", "colour"),
    [("grey", [128] * 3), ("#102030", [16, 32, 48]), ("mean", VIEW.reshape(-1, 3).mean(0).round())],
)
def test_a_colour_fills_the_whole_view(fill: str, colour: list[int]) -> None:
    np.testing.assert_array_equal(fill_image(VIEW, fill, blur_px=1), np.broadcast_to(colour, VIEW.shape))


def test_a_blurred_view_keeps_its_mean_and_loses_its_details() -> None:
    blurred = fill_image(VIEW, "blur", blur_px=4)
    assert blurred.std() < VIEW.std() / 4
    assert abs(blurred.mean() - VIEW.mean()) < 4


def test_the_input_is_normalised_in_the_channel_order_of_the_network() -> None:
    steps = Preprocessing(short_side=16, centre=16, crop=16, channels="BGR", mean=(10, 20, 30), std=(2, 4, 5))
    colours, pixels = fill_input(VIEW, "#102030", steps, blur_px=1)
    assert colours[0, 0].tolist() == [16, 32, 48]
    np.testing.assert_allclose(pixels[:, 0, 0], [(48 - 10) / 2, (32 - 20) / 4, (16 - 30) / 5])


def test_a_network_that_reads_grey_levels_gets_a_grey_fill() -> None:
    steps = Preprocessing(short_side=16, centre=16, crop=16, channels="grey", mean=(0,), std=(1,))
    colours, pixels = fill_input(VIEW, "#ff0000", steps, blur_px=1)
    assert pixels.shape == (1, 16, 16)
    assert np.ptp(colours[0, 0]) == 0
