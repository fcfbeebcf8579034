"""Tests of text, cells, stacks, grids and pages."""

import numpy as np
import pytest
from PIL import Image

from zfscope.images.layout import (
    MARGIN,
    SMALL,
    TITLE,
    add_margin,
    cell,
    font,
    font_text,
    grid,
    hstack,
    page,
    paragraph,
    text,
    vstack,
)


def box(width: int, height: int, level: int = 0) -> Image.Image:
    return Image.new("RGB", (width, height), (level, level, level))


def test_vstack_has_the_maximum_width_and_the_total_height_with_gaps() -> None:
    picture = vstack([box(5, 3), box(9, 4)], gap=2)
    assert picture.size == (9, 9)
    pixels = np.asarray(picture)
    assert (pixels[:3, :5] == 0).all()
    assert (pixels[:3, 5:] == 255).all()
    assert (pixels[3:5] == 255).all()
    assert (pixels[5:] == 0).all()


def test_hstack_has_the_maximum_height_and_the_total_width_with_gaps() -> None:
    picture = hstack([box(5, 3), box(2, 4)], gap=1)
    assert picture.size == (8, 4)
    assert (np.asarray(picture)[:, 6:] == 0).all()


def test_a_grid_is_filled_row_by_row() -> None:
    picture = grid([box(2, 2, level) for level in (10, 20, 30)], 2, gap=1, row_gap=3)
    assert picture.size == (5, 7)
    assert [np.asarray(picture)[y, x, 0] for y, x in ((0, 0), (0, 3), (5, 0), (5, 3))] == [10, 20, 30, 255]


def test_a_margin_is_white_on_all_sides() -> None:
    pixels = np.asarray(add_margin(box(2, 3), 4))
    assert pixels.shape == (11, 10, 3)
    assert (pixels[4:7, 4:6] == 0).all()
    assert (pixels == 0).sum() == 18


def test_the_height_of_text_depends_only_on_the_font_size() -> None:
    assert {text(content, 20).height for content in ("aeo", "gjpq", "ABC|", "")} == {text("x", 20).height}


def test_text_is_as_wide_as_its_letters_and_is_dark() -> None:
    picture = text("map 17 | 3.21 at (5, 7)", 16)
    assert picture.width == pytest.approx(font(16).getlength("map 17 | 3.21 at (5, 7)"), abs=2)
    assert np.asarray(picture).min() < 60


def test_a_paragraph_is_wrapped_to_its_width() -> None:
    content = "the area outside the crop of the network is paler than the area inside"
    picture = paragraph(content, 14, 150)
    assert picture.width <= 152
    assert picture.height > 3 * text("x", 14).height


@pytest.mark.parametrize("width_px", [20, 50, 99])
def test_words_wider_than_the_width_are_truncated(width_px: int) -> None:
    assert text("deconvolutional network", 14, width_px=width_px).width <= width_px + 1
    assert paragraph("deconvolutional network", 14, width_px).width <= width_px + 1


def test_text_that_fits_is_not_truncated() -> None:
    np.testing.assert_array_equal(
        np.asarray(text("map 17", 14, width_px=100)), np.asarray(text("map 17", 14))
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [("église", "eglise"), ("zfnet · church", "zfnet · church"), ("教会 church", " church")],
)
def test_characters_missing_from_the_font_are_replaced_or_dropped(content: str, expected: str) -> None:
    assert font_text(content) == expected


def test_a_line_of_exactly_the_paragraph_width_is_wrapped_and_not_truncated() -> None:
    content = "grey is zero"
    width = font(16).getlength(content)
    assert width.is_integer()
    broken = paragraph(content, 16, int(width))
    assert broken.size == vstack([text("grey is", 16), text("zero", 16)], gap=3).size


def test_control_characters_are_dropped_and_line_breaks_become_spaces() -> None:
    assert font_text("a\x1b[2J\x00b\nc\td\x7f\x9b\u202ee") == "a[2Jb c de"
    assert text("a\nb", 20).size == text("a b", 20).size


def test_a_cell_has_the_given_width_and_vertically_centred_text() -> None:
    line = np.asarray(text("map 17"))
    picture = cell("map 17", 120, height_px=60)
    assert picture.size == (120, 60)
    top = (60 - line.shape[0]) // 2
    np.testing.assert_array_equal(np.asarray(picture)[top : top + line.shape[0], : line.shape[1]], line)
    assert (np.asarray(picture)[:, line.shape[1] :] == 255).all()
    assert cell("map 17", 120).height == line.shape[0]


def test_a_cell_truncates_its_text_and_keeps_the_gap_free() -> None:
    picture = np.asarray(cell("deconvolutional network", 80, gap_px=20))
    assert picture.shape[1] == 80
    assert (picture[:, 61:] == 255).all()


def test_a_page_has_title_subtitle_body_and_caption_inside_a_margin() -> None:
    body = [box(300, 40), box(200, 30, 90)]
    picture = page("Title", body, scale="black = 0", subtitle="subtitle", caption="caption", gap=10)
    assert picture.scale == "black = 0"
    pixels = picture.rgb
    for edge in (pixels[:MARGIN], pixels[-MARGIN:], pixels[:, :MARGIN], pixels[:, -MARGIN:]):
        assert (edge == 255).all()
    heading = vstack([text("Title", TITLE), text("subtitle")], gap=6).height
    top = MARGIN + heading + 10
    assert (pixels[top : top + 40, MARGIN : MARGIN + 300] == 0).all()
    assert (pixels[top + 50 : top + 80, MARGIN : MARGIN + 200] == 90).all()
    assert pixels.shape == (top + 90 + text("caption", SMALL).height + MARGIN, 300 + 2 * MARGIN, 3)


def test_a_page_without_subtitle_and_caption_reserves_no_space_for_them() -> None:
    plain = page("Title", [box(300, 40)], scale="")
    assert plain.rgb.shape[0] == 2 * MARGIN + text("Title", TITLE).height + 24 + 40
