"""The kit of every figure: text, cells, pictures above and beside each other, and the page around them."""

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

# Sizes of type in pixels: of a page, of a row in it, of labels, and of captions.
TITLE, HEADING, BODY, SMALL = 27, 20, 16, 14
MARGIN = 36

_BEYOND_ASCII = "\u00b7\u00b1\u201c\u201d"  # middle dot, plus-minus, quotes: all that Pillow's font has


def palette_colour(place: int) -> Colour:
    """Return one of COLOURS for each place, from 0; beyond the last they begin again."""
    return COLOURS[place % len(COLOURS)]


def text(
    words: str, size_px: int = BODY, colour: Colour = INK, *, width_px: int | None = None
) -> Image.Image:
    """Return one line of text, as high as its font whatever the letters, in Pillow's built-in font.

    What does not fit into `width_px`, where that is given, is cut off and replaced by dots.
    """
    face = font(size_px)
    line = printable(words) if width_px is None else _truncate(printable(words), face, width_px)
    ascent, descent = face.getmetrics()
    picture = blank(max(1, round(face.getlength(line)) + 1), ascent + descent)
    ImageDraw.Draw(picture).text((0, 0), line, fill=colour, font=face)
    return picture


def paragraph(words: str, size_px: int, width_px: int, colour: Colour = INK) -> Image.Image:
    """Return text broken into lines of at most `width_px`; a word that is longer is cut off."""
    face = font(size_px)
    lines = [""]
    for word in printable(words).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and face.getlength(longer) >= width_px:  # as long as that, text cuts it
            lines.append(word)
        else:
            lines[-1] = longer
    pictures = [text(line, size_px, colour, width_px=width_px) for line in lines]
    return vstack(pictures, gap=round(size_px * 0.2))


def cell(
    words: str,
    width_px: int,
    *,
    size_px: int = BODY,
    colour: Colour = INK,
    gap_px: int = 0,
    height_px: int = 0,
) -> Image.Image:
    """Return one line of text in a cell of constant width, flush left and half way up.

    gap_px: kept free at the right of the text. height_px: the least height of the cell.
    """
    line = text(words, size_px, colour, width_px=width_px - gap_px)
    whole = blank(width_px, max(line.height, height_px))
    whole.paste(line, (0, (whole.height - line.height) // 2))
    return whole


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
    """Return a figure: title, subtitle, pictures one below the other and a caption, with a margin around.

    scale: what the levels and colours mean. width_px: where lines of text end, by default at the right edge
    of the widest picture.
    """
    width = max(picture.width for picture in body) if width_px is None else width_px
    heading = [paragraph(title, TITLE, width)]
    if subtitle:
        heading.append(paragraph(subtitle, BODY, width, FAINT))
    below = [paragraph(caption, SMALL, width, FAINT)] if caption else []
    drawn = add_margin(vstack([vstack(heading, gap=6), *body, *below], gap=gap), MARGIN)
    return Rendering(np.asarray(drawn), scale)


def vstack(pictures: Sequence[Image.Image], *, gap: int) -> Image.Image:
    """Return pictures one below the other, flush left."""
    checkpoint()
    height = sum(picture.height for picture in pictures) + gap * (len(pictures) - 1)
    whole = blank(max(picture.width for picture in pictures), height)
    y = 0
    for picture in pictures:
        whole.paste(picture, (0, y))
        y += picture.height + gap
    return whole


def hstack(pictures: Sequence[Image.Image], *, gap: int) -> Image.Image:
    """Return pictures side by side, flush at the top."""
    checkpoint()
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    whole = blank(width, max(picture.height for picture in pictures))
    x = 0
    for picture in pictures:
        whole.paste(picture, (x, 0))
        x += picture.width + gap
    return whole


def grid(
    pictures: Sequence[Image.Image], columns: int, *, gap: int, row_gap: int | None = None
) -> Image.Image:
    """Return pictures in rows of `columns`, in reading order. row_gap: by default that between columns."""
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    return vstack([hstack(row, gap=gap) for row in rows], gap=gap if row_gap is None else row_gap)


def add_margin(picture: Image.Image, margin_px: int) -> Image.Image:
    """Return the picture with white around it."""
    whole = blank(picture.width + 2 * margin_px, picture.height + 2 * margin_px)
    whole.paste(picture, (margin_px, margin_px))
    return whole


def blank(width: int, height: int) -> Image.Image:
    """Return a white picture."""
    return Image.new("RGB", (width, height), WHITE)


def font(size_px: int) -> ImageFont.FreeTypeFont:
    face = ImageFont.load_default(size_px)
    assert isinstance(
        face, ImageFont.FreeTypeFont
    )  # Pillow gives another kind only where no size is asked for
    return face


def printable(words: str) -> str:
    """Return the words in the characters of the built-in font, on one line.

    Accents, other scripts and control characters are dropped; a new line is a space.
    """
    plain = "".join(" " if letter.isspace() else letter for letter in unicodedata.normalize("NFKD", words))
    return "".join(
        letter for letter in plain if (letter.isascii() and letter.isprintable()) or letter in _BEYOND_ASCII
    )


def _truncate(line: str, face: ImageFont.FreeTypeFont, width_px: int) -> str:
    if face.getlength(line) < width_px:
        return line
    kept = line
    while kept and face.getlength(f"{kept}...") >= width_px:
        kept = kept[:-1]
    return f"{kept.rstrip()}..."
