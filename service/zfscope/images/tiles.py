"""Tiles: what single units saw, in squares beside the pixels that they saw it in."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from zfscope.cancellation import checkpoint
from zfscope.images.geometry import Box, extract
from zfscope.images.layout import SMALL, Colour, hstack, text
from zfscope.images.render import GREY, Rendering, Rgb, scale_note, signed_to_rgb, symmetric_scale

SILENT_NOTE = "the unit's activation is rounding, and so is its projection: shown as 128 grey, zero"

_BLOCKS_FROM = 8
_TILE_PX = 224
_GAP_PX = 4
_FRAME_PX = 3


@dataclass(frozen=True, eq=False)
class Panel:
    """One unit: what it saw, where, and how a figure names it.

    caption:     such as "map 17 | 3.21 at (5, 7)".
    projection:  (3, H, W), RGB, signed: the network's input pixels.
    view:        uint8 (H, W, 3): the crop that the network saw, at its resolution.
    box:         the receptive field in these pixels; outside them at the border.
    control:     a projection through randomised weights, of the same shape.
    silent:      the unit's activation is rounding, and so is the projection: it is drawn as zero.
    """

    caption: str
    projection: NDArray[np.floating]
    view: Rgb
    box: Box
    control: NDArray[np.floating] | None = None
    silent: bool = False

    @property
    def scale(self) -> float:
        """Magnitude of the projection that is shown as full white; 0 where nothing is shown."""
        return 0.0 if self.silent else symmetric_scale(self.projection)


def column_count(tiles: int) -> int:
    """Return the tiles of a row: 3 x 3 of nine as in the paper, 2 x 2 of four, one row of fewer."""
    return tiles if tiles < 4 else math.ceil(math.sqrt(tiles))


def crop_padded(picture: Rgb, box: Box) -> Rgb:
    """Return the pixels of a box, widened to whole ones; what lies outside the picture is mid-grey."""
    return extract(picture, box.whole(), GREY)


def grey_outside(patch: Rgb, inside: Box) -> Rgb:
    """Return a patch that is grey outside a box, where the photo ends: black would look like a part."""
    shown = np.full_like(patch, GREY)
    shown[inside.slices] = patch[inside.slices]
    return shown


def mark_tile(tile: Image.Image, label: str, colour: Colour) -> Image.Image:
    """Return a tile in a frame of a colour, with words in its middle."""
    framed, line = tile.copy(), text(label, SMALL, colour, width_px=tile.width - 2 * _FRAME_PX)
    framed.paste(line, ((tile.width - line.width) // 2, (tile.height - line.height) // 2))
    edge = (0, 0, tile.width - 1, tile.height - 1)
    ImageDraw.Draw(framed).rectangle(edge, outline=colour, width=_FRAME_PX)
    return framed


def tiles(panel: Panel, size_px: int) -> tuple[Image.Image, ...]:
    """Return the receptive field as square tiles: projection, photo and, where there is one, control.

    Each is enlarged or reduced alike; projection and control each on a symmetric scale of its own.
    """
    checkpoint()
    pictures = [signed_to_rgb(panel.projection, scale=panel.scale), panel.view]
    if panel.control is not None:
        pictures.append(signed_to_rgb(panel.control))
    box = _visible_box(panel)
    return tuple(_fit_square(crop_padded(picture, box), size_px) for picture in pictures)


def projection_panel(panel: Panel, *, tile_px: int = _TILE_PX) -> Rendering:
    """Return the tiles of a panel side by side: projection, photo and, where there is one, control."""
    return Rendering(np.asarray(hstack(tiles(panel, tile_px), gap=_GAP_PX)), panel_note(panel))


def panel_note(panel: Panel) -> str:
    """Return the note that explains the levels of a panel's projection and control."""
    note = f"projection: {SILENT_NOTE if panel.silent else scale_note(panel.scale)}"
    if panel.control is not None:
        note += f"; control (randomised weights): {scale_note(symmetric_scale(panel.control))}"
    return note


def _visible_box(panel: Panel) -> Box:
    """Return the receptive field, or the whole picture where it covers that, as in fully connected layers."""
    height, width = panel.view.shape[:2]
    whole = Box(0, 0, width, height)
    return whole if panel.box.clip((height, width)) == whole else panel.box


def _fit_square(crop: Rgb, size_px: int) -> Image.Image:
    """Resample to fit a square, in the middle of mid-grey where the crop is not square.

    Bicubic, but pixels stay visible as such where they are enlarged so much that all would be blur.
    """
    height, width = crop.shape[:2]
    factor = size_px / max(height, width)
    fitted = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = Image.Resampling.NEAREST if factor >= _BLOCKS_FROM else Image.Resampling.BICUBIC
    image = Image.fromarray(crop).resize(fitted, method)
    square = Image.new("RGB", (size_px, size_px), (GREY, GREY, GREY))
    square.paste(image, ((size_px - fitted[0]) // 2, (size_px - fitted[1]) // 2))
    return square
