"""Rendering of signed values around mid-grey, and PNGs that record the meaning of their levels."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from zfscope.cancellation import checkpoint
from zfscope.images.chunks import KEY_PREFIX
from zfscope.images.normalise import three_channels
from zfscope.rounding import rounding

# uint8 (height, width, 3), RGB.
Rgb = NDArray[np.uint8]

# Level of zero, and of the area outside an image.
GREY = 128

# Key of the text chunk of a PNG that explains its levels.
SCALE_KEY = f"{KEY_PREFIX}scale"

_PERCENTILE = 99.5
# Level of zlib, 0 to 9: a third of the time of the default, for files that are a seventh larger.
_COMPRESSION = 2


@dataclass(frozen=True, eq=False)
class Rendering:
    """Picture, uint8 (height, width, 3), and a description of its levels."""

    rgb: Rgb
    scale: str

    def png(self) -> bytes:
        """Return the picture as a PNG with `scale` in a text chunk."""
        return encode_png(self.rgb, text={SCALE_KEY: self.scale})


def symmetric_scale(projection: NDArray[np.floating]) -> float:
    """Return the magnitude to show as full white: the 99.5th percentile of the non-zero magnitudes.

    With the maximum instead, a few outliers would leave all other pixels grey. Magnitudes that are rounding
    errors relative to the largest one count as zero; otherwise many of them could determine the scale.
    Returns 0.0 for a projection of zeros.
    """
    magnitudes = np.abs(projection)
    nonzero = magnitudes[magnitudes > rounding(float(magnitudes.max(initial=0)))]
    return float(np.percentile(nonzero, _PERCENTILE)) if nonzero.size else 0.0


def signed_to_rgb(projection: NDArray[np.floating], *, scale: float | None = None) -> Rgb:
    """Return the levels 128 + 127 * value / scale, rounded and clipped to 1..255, uint8 (H, W, 3).

    projection: (3, H, W), RGB, or (1, H, W), shown in grey. scale: value shown as full white, by default that
    of `symmetric_scale`. Zero is always exactly 128; with a scale of 0, all levels are 128.
    """
    white = symmetric_scale(projection) if scale is None else scale
    share = np.clip(projection / white, -1, 1) if white > 0 else np.zeros_like(projection)
    levels = np.round(GREY + (255 - GREY) * share).astype(np.uint8)
    return three_channels(levels.transpose(1, 2, 0))


def scale_note(scale: float) -> str:
    """Return a description of the levels of `signed_to_rgb` for a scale."""
    if scale == 0:
        return "symmetric linear; 128 grey = 0; all values are 0"
    return (
        f"symmetric linear; 128 grey = 0; full white = {scale:+.4g} or more (255); "
        f"full black = {-scale:+.4g} or less (1)"
    )


def encode_png(rgb: Rgb, *, text: Mapping[str, str]) -> bytes:
    """Encode a PNG with text chunks. text: values by key; keys have 1 to 79 Latin-1 characters."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in text.items():
        chunks.add_text(key, value)
    file = _InterruptibleFile()
    Image.fromarray(rgb).save(file, "PNG", pnginfo=chunks, compress_level=_COMPRESSION)
    return file.getvalue()


class _InterruptibleFile(io.BytesIO):
    """In-memory file that checks for cancellation on each write; Pillow writes an image in blocks."""

    def write(self, block: Any, /) -> int:
        checkpoint()
        return super().write(block)
