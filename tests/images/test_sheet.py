"""Tests of the labelled sheet of projections."""

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from zfscope.images.geometry import Box, Geometry
from zfscope.images.render import Rendering
from zfscope.images.sheet import WIDTH_PX, Section, sheet
from zfscope.images.tiles import Panel, panel_note

Rgb = NDArray[np.uint8]


# Colours of projections of +1 in the red and in the green channel.
RED, GREEN = (255, 128, 128), (128, 255, 128)


def panel(number: int, *, control: bool = False) -> Panel:
    """Return a panel of uniform tiles: red projection, photo in a grey of its own, green control."""
    projection = np.zeros((3, 64, 64), np.float32)
    projection[0] = 1
    view = np.full((64, 64, 3), 10 + number, np.uint8)
    box = Box(8, 8, 40, 40)
    return Panel(
        f"map {number} | 3.21 at (5, 7)", projection, view, box, projection[[1, 0, 2]] if control else None
    )


def draw(sections: list[Section], *, size: tuple[int, int] = (120, 160), **options: str) -> Rendering:
    photo = np.full((*size, 3), 90, np.uint8)
    geometry = Geometry(size, (64, 64), Box(0, 0, min(size), min(size)))
    return sheet(sections, photo, geometry, title="Projections", **options)


def bounding_box(picture: Rgb, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the bounding box of a colour in the panels: x0, y0, x1, y1."""
    hits = (picture == colour).all(axis=-1)
    # Letters contain single pixels of many greys, so only runs of three count.
    hits[:, 2:] &= hits[:, 1:-1] & hits[:, :-2]
    rows, columns = np.nonzero(hits)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_panels_are_in_reading_order_three_per_row() -> None:
    rgb = draw([Section("conv5", tuple(panel(number) for number in range(5)))]).rgb
    boxes = [bounding_box(rgb, (10 + number,) * 3) for number in range(5)]
    assert len({box[2] - box[0] for box in boxes}) == 1
    assert all(x1 - x0 == pytest.approx(y1 - y0, abs=3) for x0, y0, x1, y1 in boxes)
    tops = [box[1] for box in boxes]
    assert tops[0] == tops[1] == tops[2] < boxes[0][3] < tops[3] == tops[4]
    assert boxes[0][0] < boxes[1][0] < boxes[2][0]
    assert boxes[3][0] == boxes[0][0]


def test_projection_photo_and_control_are_side_by_side() -> None:
    rgb = draw([Section("conv2", (panel(0, control=True),))]).rgb
    projection, photo, control = (bounding_box(rgb, colour) for colour in (RED, (10, 10, 10), GREEN))
    assert projection[1::2] == photo[1::2] == control[1::2]
    assert projection[2] < photo[0] < photo[2] < control[0]


def test_sections_are_stacked_in_order() -> None:
    rgb = draw([Section("conv1", (panel(1),)), Section("conv2", (panel(2),))]).rgb
    assert bounding_box(rgb, (11, 11, 11))[3] < bounding_box(rgb, (12, 12, 12))[1]


@pytest.mark.parametrize("size", [(120, 160), (300, 40), (40, 300), (1, 1)])
@pytest.mark.parametrize("control", [False, True])
def test_a_sheet_always_has_the_same_width(size: tuple[int, int], control: bool) -> None:
    sections = [Section("conv5", tuple(panel(seed, control=control) for seed in range(4)))]
    assert draw(sections, size=size).rgb.shape[1] == WIDTH_PX


def test_long_text_does_not_widen_the_sheet() -> None:
    long = replace(panel(0), caption="unit 3 (cassette player, of the older kind) | 12.3 at (5, 7), and more")
    sections = [Section("conv5" * 50, (panel(1), long, panel(2)))]
    rgb = draw(sections, subtitle="n0123456789" * 40).rgb
    assert rgb.shape[1] == WIDTH_PX
    assert bounding_box(rgb, (12, 12, 12))[2] <= WIDTH_PX - 36


def test_the_margins_are_empty() -> None:
    rgb = draw([Section("conv5", tuple(panel(seed) for seed in range(3)))], subtitle="church 0.93").rgb
    for edge in (rgb[:30], rgb[-30:], rgb[:, :30], rgb[:, -30:]):
        assert (edge == 255).all()


def test_the_title_of_a_section_is_above_its_panels() -> None:
    rgb = draw([Section("conv5", (panel(0),))]).rgb
    other = draw([Section("conv4", (panel(0),))]).rgb
    changed = np.argwhere((rgb != other).any(axis=-1))
    assert len(changed) > 0
    assert changed[:, 0].max() < bounding_box(rgb, (10, 10, 10))[1]


def test_the_caption_of_a_panel_is_below_it() -> None:
    rgb = draw([Section("conv5", (panel(0),))]).rgb
    other = draw([Section("conv5", (replace(panel(0), caption="map 0 | 9.99 at (5, 7)"),))]).rgb
    changed = np.argwhere((rgb != other).any(axis=-1))
    x0, _, _, y1 = bounding_box(rgb, (10, 10, 10))
    assert len(changed) > 0
    assert changed[:, 0].min() >= y1
    assert changed[:, 1].min() >= bounding_box(rgb, RED)[0]
    assert changed[:, 1].max() < x0 + 200


def test_a_subtitle_takes_a_separate_line() -> None:
    sections = [Section("conv5", (panel(0),))]
    assert draw(sections, subtitle="church 0.93").rgb.shape[0] > draw(sections).rgb.shape[0]


def test_the_png_contains_the_scale_of_every_panel() -> None:
    first, second = panel(1), panel(2, control=True)
    rendering = draw([Section("conv1", (first,)), Section("conv2", (second,))])
    image = Image.open(io.BytesIO(rendering.png()))
    image.load()
    assert image.text["zfscope:scale"] == (  # type: ignore[attr-defined]
        f"each panel on its own scale. conv1, 1: {panel_note(first)}. conv2, 1: {panel_note(second)}"
    )


def test_a_sheet_is_reproducible() -> None:
    sections = [Section("conv5", tuple(panel(seed) for seed in range(3)))]
    assert draw(sections).png() == draw(sections).png()
