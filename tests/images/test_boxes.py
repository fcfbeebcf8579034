"""Numbered boxes on a photo."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from zfscope.images.geometry import Box, Geometry
from zfscope.images.sheet import badge, photo_with_boxes

Rgb = NDArray[np.uint8]
Find = Callable[[Rgb, Rgb], list[tuple[int, int]]]

BLACK = np.zeros((200, 300, 3), np.uint8)
WHOLE = Geometry((200, 300), (224, 224), Box(0, 0, 300, 200))


def drawn(geometry: Geometry, boxes: list[Box], photo: Rgb = BLACK, width_px: int = 300) -> Rgb:
    return np.asarray(photo_with_boxes(photo, geometry, boxes, width_px=width_px, max_height_px=400))


def colour_of(number: int) -> tuple[int, int, int]:
    pixel = badge(number).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel[0], pixel[1], pixel[2]


def extent(picture: Rgb, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((picture == colour).all(axis=-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("width_px", [300, 600, 240])
def test_a_box_is_drawn_where_the_geometry_says(flipped: bool, width_px: int) -> None:
    geometry = Geometry((200, 300), (100, 100), Box(50, 0, 250, 200), flipped)
    box = Box(10, 20, 60, 80)
    picture = drawn(geometry, [box], width_px=width_px)
    factor = width_px / 300
    expected = geometry.to_photo(box)
    edges = [round(edge * factor) for edge in (expected.x0, expected.y0, expected.x1, expected.y1)]
    assert list(extent(picture, colour_of(1))) == edges


def test_what_the_network_did_not_see_is_paler() -> None:
    geometry = Geometry((200, 300), (100, 100), Box(50, 0, 250, 200))
    picture = drawn(geometry, [])
    assert (picture[:, 50:250] == 0).all()
    assert (picture[:, :50] == 140).all()
    assert (picture[:, 250:] == 140).all()


@pytest.mark.parametrize(
    ("size", "shown"), [((1000, 100), (30, 300)), ((100, 1000), (400, 40)), ((50, 75), (400, 267))]
)
def test_the_photo_fits_whatever_its_shape(size: tuple[int, int], shown: tuple[int, int]) -> None:
    width, height = size
    geometry = Geometry((height, width), (224, 224), Box(0, 0, width, height))
    photo = np.zeros((height, width, 3), np.uint8)
    assert drawn(geometry, [], photo).shape[:2] == shown


def test_an_extreme_photo_is_still_a_pixel_high() -> None:
    geometry = Geometry((1, 5000), (224, 224), Box(0, 0, 5000, 1))
    assert drawn(geometry, [], np.zeros((1, 5000, 3), np.uint8)).shape == (1, 300, 3)


def badges_found(picture: Rgb, count: int, places: Find) -> list[tuple[int, int]]:
    """Find each number by its pixels."""
    return [
        place for number in range(1, count + 1) for place in places(picture, np.asarray(badge(number)))[:1]
    ]


def test_boxes_in_one_place_keep_every_number_readable(places: Find) -> None:
    picture = drawn(WHOLE, [Box(50, 50, 150, 150)] * 6)
    assert len(badges_found(picture, 6, places)) == 6


def test_the_number_of_a_small_box_stands_outside_it(places: Find) -> None:
    box = Box(100, 100, 105, 105)
    picture = drawn(WHOLE, [box] * 4)
    place = WHOLE.to_photo(box)
    found = badges_found(picture, 4, places)
    assert len(found) == 4
    for x, y in found:
        assert y >= place.y1 - 1 or y + 18 <= place.y0 + 1, (x, y)


def test_numbers_of_small_boxes_in_the_corners_stay_in_the_picture(places: Find) -> None:
    corners = [Box(x, y, x + 4, y + 4) for x in (0, 220) for y in (0, 220)]
    assert len(badges_found(drawn(WHOLE, corners), 4, places)) == 4


@pytest.mark.parametrize(
    "box", [Box(-40, -40, 20, 20), Box(200, 200, 260, 260), Box(-50, -50, -10, -10), Box(230, 0, 260, 10)]
)
def test_boxes_that_overhang_the_photo_are_drawn_as_far_as_they_reach(box: Box) -> None:
    assert drawn(WHOLE, [box]).shape == (200, 300, 3)


def test_more_boxes_than_colours_repeat_the_colours() -> None:
    assert colour_of(10) == colour_of(1)
    assert len({colour_of(number) for number in range(1, 10)}) == 9


def test_a_number_with_more_digits_has_a_wider_badge() -> None:
    assert isinstance(badge(1), Image.Image)
    assert badge(123).width > badge(1).width
