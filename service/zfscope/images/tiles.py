"""Square tiles of a unit: its projection next to the pixels of its receptive field."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from zfscope.cancellation import checkpoint
from zfscope.images.geometry import Box, extract
from zfscope.images.layout import SMALL, Colour, hstack, text
from zfscope.images.render import GREY, Rendering, Rgb, scale_note, signed_to_rgb, symmetric_scale

SILENT_NOTE = "the unit's activation and its projection are rounding errors: shown as zero, 128 grey"

# Enlargement factor from which pixels are shown as squares instead of being interpolated.
_MIN_BLOCK_FACTOR = 8
# Default side of the tiles of a unit's picture.
TILE_PX = 224
_GAP_PX = 4
_FRAME_PX = 3


@dataclass(frozen=True, eq=False)
class Panel:
    """Projection of one unit, with its receptive field and caption.

    caption:     such as "map 17 | 3.21 at (5, 7)".
    projection:  (C, H, W), RGB or grey, signed, in pixels of the network's input.
    view:        uint8 (H, W, 3): the crop given to the network, at its resolution.
    box:         receptive field in these pixels; may extend beyond the border.
    control:     projection through randomised weights, of the same shape; None without a control.
    silent:      whether the activation is a rounding error; the projection is then drawn as zero.
    """

    caption: str
    projection: NDArray[np.floating]
    view: Rgb
    box: Box
    control: NDArray[np.floating] | None = None
    silent: bool = False

    @cached_property
    def scale(self) -> float:
        """Magnitude of the projection that is shown as full white; 0 if silent."""
        return 0.0 if self.silent else symmetric_scale(self.projection)

    @cached_property
    def control_scale(self) -> float:
        """Magnitude of the control that is shown as full white; 0 without a control."""
        return 0.0 if self.control is None else symmetric_scale(self.control)


def column_count(tiles: int) -> int:
    """Return the number of columns for tiles: 3 for nine as in the paper, 2 for four, one row for up to 3."""
    return tiles if tiles < 4 else math.ceil(math.sqrt(tiles))


def crop_padded(picture: Rgb, box: Box) -> Rgb:
    """Return the pixels of a box, widened to whole pixels; mid-grey outside the picture."""
    return extract(picture, box.whole(), GREY)


def grey_outside(patch: Rgb, inside: Box) -> Rgb:
    """Return a patch that is grey outside a box; black there would look like a part of the photo."""
    greyed = np.full_like(patch, GREY)
    greyed[inside.slices] = patch[inside.slices]
    return greyed


def mark_tile(tile: Image.Image, label: str, colour: Colour) -> Image.Image:
    """Return a copy of a tile with a coloured frame and a centred label."""
    framed, line = tile.copy(), text(label, SMALL, colour, width_px=tile.width - 2 * _FRAME_PX)
    framed.paste(line, ((tile.width - line.width) // 2, (tile.height - line.height) // 2))
    edge = (0, 0, tile.width - 1, tile.height - 1)
    ImageDraw.Draw(framed).rectangle(edge, outline=colour, width=_FRAME_PX)
    return framed


def tiles(panel: Panel, size_px: int) -> tuple[Image.Image, ...]:
    """Return square tiles of the receptive field: projection, photo and, if available, control.

    All are resized by the same factor. Projection and control each have their own symmetric scale.
    """
    checkpoint()
    pictures = [signed_to_rgb(panel.projection, scale=panel.scale), panel.view]
    if panel.control is not None:
        pictures.append(signed_to_rgb(panel.control, scale=panel.control_scale))
    box = _visible_box(panel)
    return tuple(fit_square(crop_padded(picture, box), size_px) for picture in pictures)


def projection_panel(panel: Panel, *, tile_px: int = TILE_PX) -> Rendering:
    """Return the tiles of a panel side by side: projection, photo and, if available, control."""
    return Rendering(np.asarray(hstack(tiles(panel, tile_px), gap=_GAP_PX)), panel_note(panel))


def panel_note(panel: Panel) -> str:
    """Return a description of the levels of a panel's projection and control."""
    note = f"projection: {SILENT_NOTE if panel.silent else scale_note(panel.scale)}"
    if panel.control is not None:
        note += f"; control (randomised weights): {scale_note(panel.control_scale)}"
    return note


def _visible_box(panel: Panel) -> Box:
    """Return the receptive field, or the whole picture if it covers it, as in fully connected layers."""
    height, width = panel.view.shape[:2]
    whole_picture = Box(0, 0, width, height)
    return whole_picture if panel.box.clip((height, width)) == whole_picture else panel.box


def fit_square(crop: Rgb, size_px: int) -> Image.Image:
    """Resize a crop to fit a square, centred on mid-grey.

    Bicubic, but strongly enlarged pixels stay squares, since interpolation would only show blur.
    """
    height, width = crop.shape[:2]
    factor = size_px / max(height, width)
    fitted = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = Image.Resampling.NEAREST if factor >= _MIN_BLOCK_FACTOR else Image.Resampling.BICUBIC
    image = Image.fromarray(crop).resize(fitted, method)
    square = Image.new("RGB", (size_px, size_px), (GREY, GREY, GREY))
    square.paste(image, ((size_px - fitted[0]) // 2, (size_px - fitted[1]) // 2))
    return square
