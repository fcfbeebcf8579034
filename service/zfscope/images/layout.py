"""Building blocks of figures: text, cells, rows, columns, grids and pages of pictures."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zfscope.cancellation import checkpoint
from zfscope.images.render import Rendering

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (26, 26, 26)
FAINT: Colour = (112, 112, 112)
# Distinct to colour-blind readers (after Paul Tol's bright and vibrant schemes), legible on photos.
COLOURS: tuple[Colour, ...] = (
    (214, 69, 93),
    (51, 102, 170),
    (34, 136, 51),
    (222, 102, 32),
    (150, 50, 150),
    (0, 140, 125),
    (190, 40, 20),
    (20, 150, 205),
    (140, 108, 0),
)

# Font sizes in pixels: page title, section heading, labels, captions.
TITLE, HEADING, BODY, SMALL = 27, 20, 16, 14
MARGIN = 36

# Middle dot, plus-minus and quotes: the only characters of Pillow's font besides ASCII.
_BEYOND_ASCII = "\u00b7\u00b1\u201c\u201d"


def palette_colour(index: int) -> Colour:
    """Return the colour of COLOURS with this index, from 0; they repeat after the last one."""
    return COLOURS[index % len(COLOURS)]


def text(
    content: str, size_px: int = BODY, colour: Colour = INK, *, width_px: int | None = None
) -> Image.Image:
    """Return one line of text in Pillow's built-in font; its height depends only on the font size.

    width_px: maximum width; longer text is truncated and ends with three dots.
    """
    typeface = font(size_px)
    line = font_text(content) if width_px is None else _truncate(font_text(content), typeface, width_px)
    ascent, descent = typeface.getmetrics()
    picture = blank(max(1, round(typeface.getlength(line)) + 1), ascent + descent)
    ImageDraw.Draw(picture).text((0, 0), line, fill=colour, font=typeface)
    return picture


def paragraph(content: str, size_px: int, width_px: int, colour: Colour = INK) -> Image.Image:
    """Return text wrapped to lines of at most `width_px`; a longer word is truncated."""
    typeface = font(size_px)
    lines = [""]
    for word in font_text(content).split():
        extended = f"{lines[-1]} {word}".strip()
        if lines[-1] and typeface.getlength(extended) >= width_px:  # `text` truncates lines of width_px
            lines.append(word)
        else:
            lines[-1] = extended
    pictures = [text(line, size_px, colour, width_px=width_px) for line in lines]
    return vstack(pictures, gap=round(size_px * 0.2))


def cell(
    content: str,
    width_px: int,
    *,
    size_px: int = BODY,
    colour: Colour = INK,
    gap_px: int = 0,
    height_px: int = 0,
) -> Image.Image:
    """Return one line of text in a cell of fixed width, left-aligned and vertically centred.

    gap_px: minimum space to the right of the text. height_px: minimum height of the cell.
    """
    line = text(content, size_px, colour, width_px=width_px - gap_px)
    canvas = blank(width_px, max(line.height, height_px))
    canvas.paste(line, (0, (canvas.height - line.height) // 2))
    return canvas


def page(
    title: str,
    body: Sequence[Image.Image],
    *,
    scale: str,
    subtitle: str = "",
    caption: str = "",
    width_px: int | None = None,
    gap: int = 24,
) -> Rendering:
    """Return a figure with a margin: title, subtitle, stacked pictures and a caption.

    scale: meaning of the levels and colours, stored in the PNG. width_px: maximum width of lines of text, by
    default the width of the widest picture. gap: vertical space between the parts, in pixels.
    """
    width = max(picture.width for picture in body) if width_px is None else width_px
    heading = [paragraph(title, TITLE, width)]
    if subtitle:
        heading.append(paragraph(subtitle, BODY, width, FAINT))
    below = [paragraph(caption, SMALL, width, FAINT)] if caption else []
    figure = add_margin(vstack([vstack(heading, gap=6), *body, *below], gap=gap), MARGIN)
    return Rendering(np.asarray(figure), scale)


def vstack(pictures: Sequence[Image.Image], *, gap: int) -> Image.Image:
    """Stack pictures vertically, left-aligned, `gap` pixels apart."""
    checkpoint()
    height = sum(picture.height for picture in pictures) + gap * (len(pictures) - 1)
    canvas = blank(max(picture.width for picture in pictures), height)
    y = 0
    for picture in pictures:
        canvas.paste(picture, (0, y))
        y += picture.height + gap
    return canvas


def hstack(pictures: Sequence[Image.Image], *, gap: int) -> Image.Image:
    """Stack pictures horizontally, top-aligned, `gap` pixels apart."""
    checkpoint()
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    canvas = blank(width, max(picture.height for picture in pictures))
    x = 0
    for picture in pictures:
        canvas.paste(picture, (x, 0))
        x += picture.width + gap
    return canvas


def grid(
    pictures: Sequence[Image.Image], columns: int, *, gap: int, row_gap: int | None = None
) -> Image.Image:
    """Arrange pictures in rows of `columns`, in reading order.

    gap, row_gap: pixels between columns and between rows; `row_gap` is `gap` by default.
    """
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    return vstack([hstack(row, gap=gap) for row in rows], gap=gap if row_gap is None else row_gap)


def add_margin(picture: Image.Image, margin_px: int) -> Image.Image:
    """Return a picture with a white margin."""
    canvas = blank(picture.width + 2 * margin_px, picture.height + 2 * margin_px)
    canvas.paste(picture, (margin_px, margin_px))
    return canvas


def blank(width: int, height: int) -> Image.Image:
    """Return a white picture; sizes in pixels."""
    return Image.new("RGB", (width, height), WHITE)


def font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's built-in font."""
    typeface = ImageFont.load_default(size_px)
    assert isinstance(typeface, ImageFont.FreeTypeFont)  # a bitmap font is returned only without a size
    return typeface


def font_text(text: str) -> str:
    """Return text reduced to one line and to the characters of the built-in font.

    Accents, other scripts and control characters are dropped; a line break becomes a space.
    """
    spaced = "".join(" " if char.isspace() else char for char in unicodedata.normalize("NFKD", text))
    return "".join(
        char for char in spaced if (char.isascii() and char.isprintable()) or char in _BEYOND_ASCII
    )


def _truncate(line: str, typeface: ImageFont.FreeTypeFont, width_px: int) -> str:
    if typeface.getlength(line) < width_px:
        return line
    kept = line
    while kept and typeface.getlength(f"{kept}...") >= width_px:
        kept = kept[:-1]
    return f"{kept.rstrip()}..."
