"""Figure of projections: for each layer, the photo with numbered receptive fields and a panel for each."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from zfscope.images import layout
from zfscope.images.geometry import Box, Geometry
from zfscope.images.render import Rendering, Rgb
from zfscope.images.tiles import Panel, panel_note, tiles

WIDTH_PX = 1440
COLUMNS = 3

_GUTTER, _GAP, _TILE_GAP, _BADGE_GAP = 36, 24, 3, 7
_INNER_PX = WIDTH_PX - 2 * layout.MARGIN
_PHOTO_PX = 400
_PHOTO_HEIGHT_PX, _PHOTO_HEIGHT_IN_ROWS_PX = 480, 220
# Large photos are first reduced by whole factors, to at least three times the size of the picture.
_REDUCING_GAP = 3.0
_BADGE_TEXT_PX = 13
_BADGE_HEIGHT_PX = 18
_MIN_AREA_PX = 9
# Opacity of the white over the area outside the network's crop.
_OUTSIDE_WHITE = 0.55


@dataclass(frozen=True, eq=False)
class Section:
    """Panels of one layer under a heading; either all of them have a control or none."""

    title: str
    panels: tuple[Panel, ...]


def sheet(
    sections: Sequence[Section], photo: Rgb, geometry: Geometry, *, title: str, subtitle: str = ""
) -> Rendering:
    """Return a labelled figure of `WIDTH_PX` pixels: for each section, the photo and its panels.

    photo: uint8 (height, width, 3), upright; the area outside the network's crop is paler. geometry: position
    in the photo of the crop that the panels' boxes refer to. In each section, the panels and their boxes on
    the photo are numbered from 1.
    """
    height = _PHOTO_HEIGHT_PX if len(sections) == 1 else _PHOTO_HEIGHT_IN_ROWS_PX
    rows = [_row(section, photo, geometry, height) for section in sections]
    return layout.page(
        title,
        rows,
        scale=_note(sections),
        subtitle=subtitle,
        caption=_caption(sections),
        width_px=_INNER_PX,
        gap=_GAP + 4,
    )


def _row(section: Section, photo: Rgb, geometry: Geometry, max_height_px: int) -> Image.Image:
    boxes = [panel.box for panel in section.panels]
    picture = photo_with_boxes(photo, geometry, boxes, width_px=_PHOTO_PX, max_height_px=max_height_px)
    left = _INNER_PX - picture.width - _GUTTER
    cell_px = (left - (COLUMNS - 1) * _GAP) // COLUMNS
    cells = [_panel_cell(panel, number, cell_px) for number, panel in enumerate(section.panels, 1)]
    panels = layout.grid(cells, COLUMNS, gap=_GAP, row_gap=_GAP - 6)
    heading = layout.cell(section.title, _INNER_PX, size_px=layout.HEADING)
    return layout.vstack([heading, layout.hstack([picture, panels], gap=_GUTTER)], gap=12)


def _panel_cell(panel: Panel, number: int, width_px: int) -> Image.Image:
    count = 2 if panel.control is None else 3
    tile_px = (width_px - (count - 1) * _TILE_GAP) // count
    row = layout.hstack(tiles(panel, tile_px), gap=_TILE_GAP)
    mark = badge(number)
    caption = layout.text(panel.caption, width_px=width_px - mark.width - _BADGE_GAP)
    label = layout.hstack([mark, caption], gap=_BADGE_GAP)
    return layout.vstack([row, label], gap=6)


def _caption(sections: Sequence[Section]) -> str:
    text = (
        "Photo: numbered receptive fields; the area outside the network's crop is paler. Panels: the "
        "projection of one unit (grey is zero; white and black are equal positive and negative values; each "
        "on its own scale), then the same pixels of the photo"
    )
    if any(panel.control is not None for section in sections for panel in section.panels):
        text += ", then a control: the projection through randomised weights, also on its own scale"
    return f"{text}."


def _note(sections: Sequence[Section]) -> str:
    notes = [
        f"{section.title}, {number}: {panel_note(panel)}"
        for section in sections
        for number, panel in enumerate(section.panels, 1)
    ]
    return "each panel on its own scale. " + ". ".join(notes)


def badge(number: int) -> Image.Image:
    """Return a number in white on its colour, which identifies a panel and its box."""
    face, text = layout.font(_BADGE_TEXT_PX), str(number)
    width = max(_BADGE_HEIGHT_PX, round(face.getlength(text)) + 8)
    picture = Image.new("RGB", (width, _BADGE_HEIGHT_PX), layout.palette_colour(number - 1))
    middle = (width / 2, _BADGE_HEIGHT_PX / 2)
    ImageDraw.Draw(picture).text(middle, text, fill=layout.WHITE, font=face, anchor="mm")
    return picture


def photo_with_boxes(
    photo: Rgb,
    geometry: Geometry,
    boxes: Sequence[Box],
    *,
    width_px: int,
    max_height_px: int,
    numbered: bool = True,
    area: Box | None = None,
) -> Image.Image:
    """Return the photo, resized to fit, with boxes, numbered from 1 unless `numbered` is false.

    boxes: in network pixels; they are clipped to the photo. area: a box, or a place as a box without area,
    that is outlined in black. The area outside the network's crop is paler.
    """
    height, width = photo.shape[:2]
    geometry = geometry.resized((height, width))
    factor = min(width_px / width, max_height_px / height)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    picture = Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    picture = _paler_outside(picture, _scale_to_picture(geometry.region, factor, size))
    scaled_boxes = [_scale_to_picture(geometry.to_photo(box), factor, size) for box in boxes]
    _draw_outlines(picture, scaled_boxes)
    if area is not None:
        _draw_area(picture, _scale_to_picture(geometry.to_photo(area), factor, size))
    if numbered:
        _draw_numbers(picture, scaled_boxes)
    return picture


def _paler_outside(picture: Image.Image, crop: Box) -> Image.Image:
    pale = Image.blend(picture, Image.new("RGB", picture.size, layout.WHITE), _OUTSIDE_WHITE)
    window = (int(crop.x0), int(crop.y0), int(crop.x1), int(crop.y1))
    pale.paste(picture.crop(window), window)
    return pale


def _draw_outlines(picture: Image.Image, scaled_boxes: Sequence[Box]) -> None:
    """Draw the boxes. All outlines are drawn before the numbers, so that none crosses a number."""
    for number, box in enumerate(scaled_boxes, 1):
        outline(picture, box, layout.palette_colour(number - 1))


def _draw_numbers(picture: Image.Image, scaled_boxes: Sequence[Box]) -> None:
    taken: list[Box] = []
    for number, box in enumerate(scaled_boxes, 1):
        mark = badge(number)
        taken.append(_free_spot(box, mark.size, picture.size, taken))
        picture.paste(mark, (int(taken[-1].x0), int(taken[-1].y0)))


def _draw_area(picture: Image.Image, box: Box) -> None:
    """Outline an area in black, at least `_MIN_AREA_PX` wide and high."""
    more_x, more_y = (max(0, (_MIN_AREA_PX - side) / 2) for side in (box.width, box.height))
    outline(picture, Box(box.x0 - more_x, box.y0 - more_y, box.x1 + more_x, box.y1 + more_y), layout.INK)


def outline(picture: Image.Image, box: Box, colour: layout.Colour) -> None:
    """Draw the outline of a box into a picture, in a colour between white lines."""
    pen = ImageDraw.Draw(picture)
    x0, y0, x1, y1 = box.x0, box.y0, box.x1 - 1, box.y1 - 1
    pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=layout.WHITE, width=4)
    pen.rectangle((x0, y0, x1, y1), outline=colour, width=2)


def _free_spot(box: Box, size: tuple[int, int], picture: tuple[int, int], taken: Sequence[Box]) -> Box:
    """Return the first spot that no badge overlaps; if all are taken, the first spot."""
    spots = _inside_spots(box, size) if box.width > 3 * size[0] else _outside_spots(box, size, picture)
    return next((spot for spot in spots if not any(_overlap(spot, other) for other in taken)), spots[0])


def _inside_spots(box: Box, size: tuple[int, int]) -> list[Box]:
    """Return spots inside a box, along its upper and then its lower edge."""
    width, height = size
    return [
        Box(x, y, x + width, y + height)
        for y in (box.y0, max(box.y0, box.y1 - height))
        for x in range(int(box.x0), int(box.x1) - width + 1, 2)
    ]


def _outside_spots(box: Box, size: tuple[int, int], picture: tuple[int, int]) -> list[Box]:
    """Return spots above and below a box that is too small for its number, then spots next to those."""
    width, height = size
    lefts = [box.x0 - 1 + shift * (width + 1) for shift in (0, 1, -1, 2, -2)]
    corners = [(x, y) for x in lefts for y in (box.y0 - 1 - height, box.y1 + 1)]
    spots = [Box(x, y, x + width, y + height) for x, y in corners]
    inside = [s for s in spots if s.x0 >= 0 and s.y0 >= 0 and s.x1 <= picture[0] and s.y1 <= picture[1]]
    return inside or spots


def _overlap(a: Box, b: Box) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


def _scale_to_picture(box: Box, factor: float, size: tuple[int, int]) -> Box:
    """Scale a box of photo pixels to a picture of `size` (width, height).

    Its edges are rounded and clipped to the picture; it keeps at least one pixel in each direction.
    """
    x0, x1 = _pixel_range(box.x0 * factor, box.x1 * factor, size[0])
    y0, y1 = _pixel_range(box.y0 * factor, box.y1 * factor, size[1])
    return Box(x0, y0, x1, y1)


def _pixel_range(start: float, end: float, length: int) -> tuple[int, int]:
    first = min(max(round(start), 0), length - 1)
    return first, min(max(round(end), first + 1), length)
