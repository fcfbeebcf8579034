"""A projection as a picture: signed values around mid-grey, beside the pixels that they explain."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from zfscope.images.chunks import KEY_PREFIX
from zfscope.images.geometry import Box
from zfscope.interrupt import checkpoint
from zfscope.rounding import rounding

Rgb = NDArray[np.uint8]
"""uint8 (height, width, 3), RGB."""

GREY = 128
"""The level that stands for zero, and for what lies outside a picture."""

SCALE_KEY = f"{KEY_PREFIX}scale"
"""The text chunk of a PNG that says what its levels mean."""

SILENT_NOTE = "the unit's activation is rounding, and so is its projection: shown as 128 grey, zero"

_PERCENTILE = 99.5
_BLOCKS_FROM = 8
_TILE_PX = 224
_GAP_PX = 4


@dataclass(frozen=True, eq=False)
class Rendering:
    """A picture and, in words, what its levels mean."""

    rgb: Rgb
    scale: str

    def png(self) -> bytes:
        """Return the picture as a PNG that carries `scale` in a text chunk."""
        return encode_png(self.rgb, text={SCALE_KEY: self.scale})


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


def symmetric_scale(projection: NDArray[np.floating]) -> float:
    """Return the magnitude to show as full white: the 99.5th percentile of those that are not zero.

    The few pixels beyond it would leave all others grey; 0.0 for a projection of zeros. Magnitudes that are
    rounding of the largest one count as zero: many of them would make the scale one of rounding.
    """
    magnitudes = np.abs(projection)
    known = magnitudes[magnitudes > rounding(float(magnitudes.max(initial=0)))]
    return float(np.percentile(known, _PERCENTILE)) if known.size else 0.0


def signed_to_rgb(projection: NDArray[np.floating], *, scale: float | None = None) -> Rgb:
    """Return 128 + 127 * value / scale, rounded and cut to 1..255, of a projection (3, H, W).

    Zero is exactly 128 whatever the scale. `scale` is the value shown as full white, `symmetric_scale`
    by default; where it is 0, all is 128.
    """
    full = symmetric_scale(projection) if scale is None else scale
    share = np.clip(projection / full, -1, 1) if full > 0 else np.zeros_like(projection)
    levels = np.round(GREY + (255 - GREY) * share).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))


def scale_note(scale: float) -> str:
    """Say what the levels of `signed_to_rgb` mean at a scale."""
    if scale == 0:
        return "symmetric linear; 128 grey = 0; every value is 0"
    return (
        f"symmetric linear; 128 grey = 0; full white = {scale:+.4g} (255, beyond it too); "
        f"full black = {-scale:+.4g} (1, beyond it too)"
    )


def encode_png(rgb: Rgb, *, text: Mapping[str, str]) -> bytes:
    """Return a PNG with text chunks (keys of 1 to 79 Latin-1 characters)."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in text.items():
        chunks.add_text(key, value)
    file = _Interruptible()
    Image.fromarray(rgb).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


class _Interruptible(io.BytesIO):
    """Pillow writes a picture part by part, a large one for a while."""

    def write(self, part: Any, /) -> int:
        checkpoint()
        return super().write(part)


def crop_padded(picture: Rgb, box: Box) -> Rgb:
    """Return the pixels of a box, widened to whole ones; what lies outside the picture is mid-grey."""
    whole, inside = box.whole(), box.whole().clip((picture.shape[0], picture.shape[1]))
    crop = np.full((int(whole.height), int(whole.width), 3), GREY, np.uint8)
    target = inside.moved(-whole.x0, -whole.y0)
    crop[_rows(target), _columns(target)] = picture[_rows(inside), _columns(inside)]
    return crop


def tiles(panel: Panel, size_px: int) -> tuple[Rgb, ...]:
    """Return the receptive field as square tiles: projection, photo and, where there is one, control.

    Each is enlarged or reduced alike; projection and control each on a symmetric scale of its own.
    """
    checkpoint()
    pictures = [signed_to_rgb(panel.projection, scale=panel.scale), panel.view]
    if panel.control is not None:
        pictures.append(signed_to_rgb(panel.control))
    box = _shown(panel)
    return tuple(_square(crop_padded(picture, box), size_px) for picture in pictures)


def projection_panel(panel: Panel, *, tile_px: int = _TILE_PX) -> Rendering:
    """Return the tiles of a panel side by side: projection, photo and, where there is one, control."""
    row = tiles(panel, tile_px)
    gap = np.full((tile_px, _GAP_PX, 3), 255, np.uint8)
    parts = [part for tile in row for part in (tile, gap)][:-1]
    return Rendering(np.concatenate(parts, axis=1), panel_note(panel))


def panel_note(panel: Panel) -> str:
    """Say what the levels of a panel's projection, and of its control, mean."""
    note = f"projection: {SILENT_NOTE if panel.silent else scale_note(panel.scale)}"
    if panel.control is not None:
        note += f"; control (randomised weights): {scale_note(symmetric_scale(panel.control))}"
    return note


def _shown(panel: Panel) -> Box:
    """Return the receptive field, or the whole picture where it covers that, as in fully connected layers."""
    height, width = panel.view.shape[:2]
    whole = Box(0, 0, width, height)
    return whole if panel.box.clip((height, width)) == whole else panel.box


def _square(crop: Rgb, size_px: int) -> Rgb:
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
    return np.asarray(square)


def _rows(box: Box) -> slice:
    return slice(int(box.y0), int(box.y1))


def _columns(box: Box) -> slice:
    return slice(int(box.x0), int(box.x1))
