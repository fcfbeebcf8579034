"""Text and pictures, put above and beside each other."""

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
    grid,
    hstack,
    page,
    paragraph,
    printable,
    text,
    vstack,
)


def box(width: int, height: int, level: int = 0) -> Image.Image:
    return Image.new("RGB", (width, height), (level, level, level))


def test_above_is_as_wide_as_the_widest_and_as_high_as_all_with_gaps() -> None:
    picture = vstack([box(5, 3), box(9, 4)], gap=2)
    assert picture.size == (9, 9)
    pixels = np.asarray(picture)
    assert (pixels[:3, :5] == 0).all()
    assert (pixels[:3, 5:] == 255).all()
    assert (pixels[3:5] == 255).all()
    assert (pixels[5:] == 0).all()


def test_beside_is_as_high_as_the_highest_and_as_wide_as_all_with_gaps() -> None:
    picture = hstack([box(5, 3), box(2, 4)], gap=1)
    assert picture.size == (8, 4)
    assert (np.asarray(picture)[:, 6:] == 0).all()


def test_a_grid_reads_row_by_row() -> None:
    picture = grid([box(2, 2, level) for level in (10, 20, 30)], 2, gap=1, row_gap=3)
    assert picture.size == (5, 7)
    assert [np.asarray(picture)[y, x, 0] for y, x in ((0, 0), (0, 3), (5, 0), (5, 3))] == [10, 20, 30, 255]


def test_a_frame_is_white_on_all_sides() -> None:
    pixels = np.asarray(add_margin(box(2, 3), 4))
    assert pixels.shape == (11, 10, 3)
    assert (pixels[4:7, 4:6] == 0).all()
    assert (pixels == 0).sum() == 18


def test_lines_of_one_size_are_equally_high_whatever_their_letters() -> None:
    assert {text(words, 20).height for words in ("aeo", "gjpq", "ABC|", "")} == {text("x", 20).height}


def test_text_is_as_wide_as_its_letters_and_has_ink() -> None:
    picture = text("map 17 | 3.21 at (5, 7)", 16)
    assert picture.width == pytest.approx(font(16).getlength("map 17 | 3.21 at (5, 7)"), abs=2)
    assert np.asarray(picture).min() < 60


def test_a_paragraph_keeps_to_its_width() -> None:
    words = "what lies outside the crop of the network is paler than what lies inside"
    picture = paragraph(words, 14, 150)
    assert picture.width <= 152
    assert picture.height > 3 * text("x", 14).height


@pytest.mark.parametrize("width_px", [20, 50, 99])
def test_what_does_not_fit_is_cut_off(width_px: int) -> None:
    assert text("deconvolutional network", 14, width_px=width_px).width <= width_px + 1
    assert paragraph("deconvolutional network", 14, width_px).width <= width_px + 1


def test_what_fits_is_kept() -> None:
    np.testing.assert_array_equal(
        np.asarray(text("map 17", 14, width_px=100)), np.asarray(text("map 17", 14))
    )


@pytest.mark.parametrize(
    ("words", "shown"),
    [("église", "eglise"), ("zfnet · church", "zfnet · church"), ("教会 church", " church")],
)
def test_letters_that_the_font_does_not_hold_are_replaced_or_dropped(words: str, shown: str) -> None:
    assert printable(words) == shown


def test_a_line_as_long_as_the_paragraph_is_wide_is_broken_and_not_cut() -> None:
    words = "grey is zero"
    width = font(16).getlength(words)
    assert width.is_integer()
    broken = paragraph(words, 16, int(width))
    assert broken.size == vstack([text("grey is", 16), text("zero", 16)], gap=3).size


def test_text_with_control_characters_is_one_line_without_them() -> None:
    assert printable("a\x1b[2J\x00b\nc\td\x7f\x9b\u202ee") == "a[2Jb c de"
    assert text("a\nb", 20).size == text("a b", 20).size


def test_a_cell_is_as_wide_as_asked_with_its_text_half_way_up() -> None:
    line = np.asarray(text("map 17"))
    drawn = cell("map 17", 120, height_px=60)
    assert drawn.size == (120, 60)
    top = (60 - line.shape[0]) // 2
    np.testing.assert_array_equal(np.asarray(drawn)[top : top + line.shape[0], : line.shape[1]], line)
    assert (np.asarray(drawn)[:, line.shape[1] :] == 255).all()
    assert cell("map 17", 120).height == line.shape[0]


def test_a_cell_cuts_its_text_and_keeps_a_gap_free() -> None:
    drawn = np.asarray(cell("deconvolutional network", 80, gap_px=20))
    assert drawn.shape[1] == 80
    assert (drawn[:, 61:] == 255).all()


def test_a_page_has_title_subtitle_body_and_caption_within_a_margin() -> None:
    body = [box(300, 40), box(200, 30, 90)]
    drawn = page("Title", body, scale="black = 0", subtitle="about it", caption="what it shows", gap=10)
    assert drawn.scale == "black = 0"
    pixels = drawn.rgb
    for edge in (pixels[:MARGIN], pixels[-MARGIN:], pixels[:, :MARGIN], pixels[:, -MARGIN:]):
        assert (edge == 255).all()
    heading = vstack([text("Title", TITLE), text("about it")], gap=6).height
    top = MARGIN + heading + 10
    assert (pixels[top : top + 40, MARGIN : MARGIN + 300] == 0).all()
    assert (pixels[top + 50 : top + 80, MARGIN : MARGIN + 200] == 90).all()
    assert pixels.shape == (top + 90 + text("what it shows", SMALL).height + MARGIN, 300 + 2 * MARGIN, 3)


def test_a_page_without_subtitle_and_caption_has_no_room_for_them() -> None:
    plain = page("Title", [box(300, 40)], scale="")
    assert plain.rgb.shape[0] == 2 * MARGIN + text("Title", TITLE).height + 24 + 40
