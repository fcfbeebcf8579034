"""What a part of a photo is covered with, in pixels, before anything is subtracted."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from zfscope.images.render import GREY

COLOUR = "#[0-9a-fA-F]{6}"
"""A colour as #rrggbb, as a pattern."""


def covered(view: NDArray[np.uint8], fill: str, *, blur_px: float) -> NDArray[np.uint8]:
    """Give the picture that covers a view, uint8 (H, W, 3): all of it.

    fill: `grey` (128), `mean` (the view's own mean colour; the model's is `fill_colour` of
    `zfscope.images.transform`), `blur` (the view, by a Gaussian of a standard deviation of `blur_px`), or
    #rrggbb.
    """
    if fill == "blur":
        return np.asarray(Image.fromarray(view).filter(ImageFilter.GaussianBlur(blur_px)))
    if fill == "grey":
        colour = np.full(3, GREY)
    elif fill == "mean":
        colour = view.reshape(-1, 3).mean(0).round()
    else:
        colour = np.array([int(fill[place : place + 2], 16) for place in (1, 3, 5)])
    return np.broadcast_to(colour.astype(np.uint8), view.shape)
