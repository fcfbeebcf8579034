"""A sheet of projections as a figure: per layer, the photo with its receptive fields and a panel for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from zfscope.images.boxes import badge, photo_with_boxes
from zfscope.images.compose import FAINT, above, beside, blank, framed, grid, paragraph, text
from zfscope.images.geometry import Geometry
from zfscope.images.render import Panel, Rendering, Rgb, panel_note, tiles

WIDTH_PX = 1440
COLUMNS = 3

_MARGIN, _GUTTER, _GAP, _TILE_GAP, _BADGE_GAP = 36, 36, 24, 3, 7
_INNER_PX = WIDTH_PX - 2 * _MARGIN
_PHOTO_PX = 400
_PHOTO_HEIGHT_PX, _PHOTO_HEIGHT_IN_ROWS_PX = 480, 220
_TITLE, _HEADING, _BODY, _SMALL = 27, 20, 16, 14


@dataclass(frozen=True, eq=False)
class Section:
    """The panels of one layer under a heading; either all have a control or none."""

    title: str
    panels: tuple[Panel, ...]


def sheet(
    sections: Sequence[Section], photo: Rgb, geometry: Geometry, *, title: str, subtitle: str = ""
) -> Rendering:
    """Return a labelled figure, `WIDTH_PX` wide: a row of photo and panels for each section.

    `photo`: uint8 (height, width, 3), upright; what the network did not see of it is paler.
    `geometry`: the place in it of the crop to which the panels' boxes refer. In each section panels are
    numbered from 1, and so are their boxes on its copy of the photo.
    """
    headings = [paragraph(title, _TITLE, _INNER_PX)]
    if subtitle:
        headings.append(paragraph(subtitle, _BODY, _INNER_PX, FAINT))
    height = _PHOTO_HEIGHT_PX if len(sections) == 1 else _PHOTO_HEIGHT_IN_ROWS_PX
    rows = [_row(section, photo, geometry, height) for section in sections]
    caption = paragraph(_caption(sections), _SMALL, _INNER_PX, FAINT)
    page = framed(above([above(headings, gap=6), *rows, caption], gap=_GAP + 4), _MARGIN)
    return Rendering(np.asarray(_widened(page)), _note(sections))


def _row(section: Section, photo: Rgb, geometry: Geometry, max_height_px: int) -> Image.Image:
    boxes = [panel.box for panel in section.panels]
    size = {"width_px": _PHOTO_PX, "max_height_px": max_height_px}
    picture = photo_with_boxes(photo, geometry, boxes, **size)
    left = _INNER_PX - picture.width - _GUTTER
    cell_px = (left - (COLUMNS - 1) * _GAP) // COLUMNS
    cells = [_cell(panel, number, cell_px) for number, panel in enumerate(section.panels, 1)]
    panels = grid(cells, COLUMNS, gap=_GAP, row_gap=_GAP - 6)
    return above(
        [paragraph(section.title, _HEADING, _INNER_PX), beside([picture, panels], gap=_GUTTER)], gap=12
    )


def _cell(panel: Panel, number: int, width_px: int) -> Image.Image:
    count = 2 if panel.control is None else 3
    tile_px = (width_px - (count - 1) * _TILE_GAP) // count
    row = beside([Image.fromarray(tile) for tile in tiles(panel, tile_px)], gap=_TILE_GAP)
    mark = badge(number)
    caption = text(panel.caption, _BODY, width_px=width_px - mark.width - _BADGE_GAP)
    label = beside([mark, caption], gap=_BADGE_GAP)
    return above([row, label], gap=6)


def _caption(sections: Sequence[Section]) -> str:
    words = (
        "Photo: the receptive fields, numbered; what lies outside the network's crop is paler. Panels: the "
        "projection of one unit (grey is zero, white and black are equally strong, each on a scale of its "
        "own), then the same pixels of the photo"
    )
    if any(panel.control is not None for section in sections for panel in section.panels):
        words += ", then a control: the projection through randomised weights, on its own scale"
    return f"{words}."


def _widened(page: Image.Image) -> Image.Image:
    whole = blank(max(WIDTH_PX, page.width), page.height)
    whole.paste(page, (0, 0))
    return whole


def _note(sections: Sequence[Section]) -> str:
    notes = [
        f"{section.title}, {number}: {panel_note(panel)}"
        for section in sections
        for number, panel in enumerate(section.panels, 1)
    ]
    return "each panel on a scale of its own. " + ". ".join(notes)
