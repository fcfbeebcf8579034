"""Tests of the numbered boxes drawn on a photo."""

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


def draw(geometry: Geometry, boxes: list[Box], photo: Rgb = BLACK, width_px: int = 300) -> Rgb:
    return np.asarray(photo_with_boxes(photo, geometry, boxes, width_px=width_px, max_height_px=400))


def badge_colour(number: int) -> tuple[int, int, int]:
    pixel = badge(number).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel[0], pixel[1], pixel[2]


def bounding_box(picture: Rgb, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((picture == colour).all(axis=-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("width_px", [300, 600, 240])
def test_a_box_is_drawn_at_the_position_given_by_the_geometry(flipped: bool, width_px: int) -> None:
    geometry = Geometry((200, 300), (100, 100), Box(50, 0, 250, 200), flipped)
    box = Box(10, 20, 60, 80)
    picture = draw(geometry, [box], width_px=width_px)
    factor = width_px / 300
    expected = geometry.to_photo(box)
    edges = [round(edge * factor) for edge in (expected.x0, expected.y0, expected.x1, expected.y1)]
    assert list(bounding_box(picture, badge_colour(1))) == edges


def test_the_area_outside_the_crop_is_paler() -> None:
    geometry = Geometry((200, 300), (100, 100), Box(50, 0, 250, 200))
    picture = draw(geometry, [])
    assert (picture[:, 50:250] == 0).all()
    assert (picture[:, :50] == 140).all()
    assert (picture[:, 250:] == 140).all()


@pytest.mark.parametrize(
    ("size", "expected"), [((1000, 100), (30, 300)), ((100, 1000), (400, 40)), ((50, 75), (400, 267))]
)
def test_photos_of_any_aspect_ratio_fit(size: tuple[int, int], expected: tuple[int, int]) -> None:
    width, height = size
    geometry = Geometry((height, width), (224, 224), Box(0, 0, width, height))
    photo = np.zeros((height, width, 3), np.uint8)
    assert draw(geometry, [], photo).shape[:2] == expected


def test_an_extremely_wide_photo_keeps_a_height_of_one_pixel() -> None:
    geometry = Geometry((1, 5000), (224, 224), Box(0, 0, 5000, 1))
    assert draw(geometry, [], np.zeros((1, 5000, 3), np.uint8)).shape == (1, 300, 3)


def find_badges(picture: Rgb, count: int, find_picture: Find) -> list[tuple[int, int]]:
    """Return the position of each badge, found by its pixels."""
    return [
        position
        for number in range(1, count + 1)
        for position in find_picture(picture, np.asarray(badge(number)))[:1]
    ]


def test_numbers_of_identical_boxes_do_not_overlap(find_picture: Find) -> None:
    picture = draw(WHOLE, [Box(50, 50, 150, 150)] * 6)
    assert len(find_badges(picture, 6, find_picture)) == 6


def test_the_number_of_a_small_box_is_drawn_outside_it(find_picture: Find) -> None:
    box = Box(100, 100, 105, 105)
    picture = draw(WHOLE, [box] * 4)
    position = WHOLE.to_photo(box)
    positions = find_badges(picture, 4, find_picture)
    assert len(positions) == 4
    for x, y in positions:
        assert y >= position.y1 - 1 or y + 18 <= position.y0 + 1, (x, y)


def test_numbers_of_small_boxes_in_corners_stay_inside_the_picture(find_picture: Find) -> None:
    corners = [Box(x, y, x + 4, y + 4) for x in (0, 220) for y in (0, 220)]
    assert len(find_badges(draw(WHOLE, corners), 4, find_picture)) == 4


@pytest.mark.parametrize(
    "box", [Box(-40, -40, 20, 20), Box(200, 200, 260, 260), Box(-50, -50, -10, -10), Box(230, 0, 260, 10)]
)
def test_boxes_that_extend_beyond_the_photo_are_clipped(box: Box) -> None:
    assert draw(WHOLE, [box]).shape == (200, 300, 3)


def test_colours_repeat_after_the_last_one() -> None:
    assert badge_colour(10) == badge_colour(1)
    assert len({badge_colour(number) for number in range(1, 10)}) == 9


def test_a_number_with_more_digits_has_a_wider_badge() -> None:
    assert isinstance(badge(1), Image.Image)
    assert badge(123).width > badge(1).width
