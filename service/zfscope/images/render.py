"""A picture and what its levels mean: signed values around mid-grey, and PNGs that state their scale."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from zfscope.cancellation import checkpoint
from zfscope.images.chunks import KEY_PREFIX
from zfscope.rounding import rounding

Rgb = NDArray[np.uint8]
"""uint8 (height, width, 3), RGB."""

GREY = 128
"""The level that stands for zero, and for what lies outside a picture."""

SCALE_KEY = f"{KEY_PREFIX}scale"
"""The text chunk of a PNG that says what its levels mean."""

_PERCENTILE = 99.5


@dataclass(frozen=True, eq=False)
class Rendering:
    """A picture and, in words, what its levels mean."""

    rgb: Rgb
    scale: str

    def png(self) -> bytes:
        """Return the picture as a PNG that carries `scale` in a text chunk."""
        return encode_png(self.rgb, text={SCALE_KEY: self.scale})


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
    """Return the note that explains the levels of `signed_to_rgb` at a scale."""
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
    file = _InterruptibleFile()
    Image.fromarray(rgb).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


class _InterruptibleFile(io.BytesIO):
    """Pillow writes a picture part by part, a large one for a while."""

    def write(self, part: Any, /) -> int:
        checkpoint()
        return super().write(part)
