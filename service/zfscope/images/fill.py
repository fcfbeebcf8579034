"""Images that replace parts of a crop: one colour, or the crop without its details."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from zfscope.images.normalise import MeanImage, Preprocessing, input_colours, normalise
from zfscope.images.render import GREY

_COLOUR = "#[0-9a-fA-F]{6}"
# Pattern of the names that `fill_image` accepts.
FILL_PATTERN = rf"^(grey|mean|blur|{_COLOUR})$"


def fill_image(view: NDArray[np.uint8], fill: str, *, blur_px: float) -> NDArray[np.uint8]:
    """Return an image of the fill, as large as the view, uint8 (H, W, 3).

    fill: `grey` (128), `mean` (the view's own mean colour, unlike `fill_colour` of
    `zfscope.images.transform`, which takes the model's), `blur` (the view, blurred by a Gaussian with a
    standard deviation of `blur_px`) or #rrggbb.
    """
    if fill == "blur":
        return np.asarray(Image.fromarray(view).filter(ImageFilter.GaussianBlur(blur_px)))
    if fill == "grey":
        colour = np.full(3, GREY)
    elif fill == "mean":
        colour = view.reshape(-1, 3).mean(0).round()
    else:
        colour = np.array([int(fill[start : start + 2], 16) for start in (1, 3, 5)])
    return np.broadcast_to(colour.astype(np.uint8), view.shape)


def fill_input(
    view: NDArray[np.uint8],
    fill: str,
    preprocessing: Preprocessing,
    mean_image: MeanImage | None = None,
    *,
    blur_px: float,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the fill of a crop as an image, uint8 (H, W, 3), and as the network's input, float32 (C, H, W).

    view: the crop, uint8 (H, W, 3). fill, blur_px: see `fill_image`.
    """
    colours = input_colours(fill_image(view, fill, blur_px=blur_px), preprocessing)
    return colours, normalise(colours, preprocessing, mean_image)
