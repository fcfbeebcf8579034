"""Translation, scaling and rotation of a photo before it is cropped, so that real pixels enter the crop."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.images.geometry import Box, Geometry
from zfscope.images.normalise import (
    MeanImage,
    Preprocessing,
    input_colours,
    normalise,
    reorder,
    three_channels,
)
from zfscope.images.preprocess import Prepared
from zfscope.images.render import GREY, Rgb

# The mean colour subtracted by the model's preprocessing; level 128; or level 0.
FillColour = Literal["mean", "grey", "black"]

# Content of the area outside the photo: a colour, or the edge pixels of the photo, repeated.
Fill = Literal["mean", "grey", "black", "edge"]

# Margin in pixels around the required window: bicubic interpolation reads two, and one is for rounding.
_MARGIN = 3


@dataclass(frozen=True)
class Transformation:
    """Scaling and rotation about the crop's centre, followed by a translation.

    right_px, down_px: in pixels of the network's input, so that the same value means the same distance for
    every photo. scale: 0.1 to 10; 2 shows everything twice as large, and less than 0.1 would leave too little
    of the photo. rotation_deg: counter-clockwise.
    """

    right_px: float = 0.0
    down_px: float = 0.0
    scale: float = 1.0
    rotation_deg: float = 0.0

    @property
    def changes_nothing(self) -> bool:
        """Whether every pixel keeps its position."""
        return (self.right_px, self.down_px, self.scale, self.rotation_deg % 360) == (0, 0, 1, 0)


def apply_transformation(
    prepared: Prepared,
    transformation: Transformation,
    preprocessing: Preprocessing,
    *,
    mean_image: MeanImage | None = None,
    fill: Fill = "mean",
) -> Prepared:
    """Return the network input of a transformed photo.

    prepared: the photo with its centre crop. fill: content of the area outside the photo. mean_image: as in
    `prepare`. A transformation that changes nothing returns `prepared` itself.

    The photo is resampled once, with the filter of `prepare`, to the pixels of the scaled image; scaling and
    translations by whole pixels need nothing else. Rotations and other translations are interpolated from
    these pixels (bicubic). The photo of the result is its view, since a rotated crop does not correspond to a
    box of the photo.
    """
    if transformation.changes_nothing:
        return prepared
    colour = None if fill == "edge" else fill_colour(fill, preprocessing, mean_image)
    view = input_colours(_transform_view(prepared, transformation, colour, preprocessing), preprocessing)
    size = (view.shape[0], view.shape[1])
    geometry = Geometry(size, size, Box(0, 0, size[1], size[0]))
    return Prepared(view, view[None], normalise(view, preprocessing, mean_image)[None], (geometry,))


def fill_colour(
    fill: FillColour, preprocessing: Preprocessing, mean_image: MeanImage | None = None
) -> NDArray[np.uint8]:
    """Return a fill colour, uint8 (3,), RGB; `mean` of a mean image is the mean of its pixels.

    The mean of a network that reads grey levels is grey.
    """
    if fill != "mean":
        return np.full(3, GREY if fill == "grey" else 0, np.uint8)
    if preprocessing.mean != "image":
        mean = np.array(preprocessing.mean, np.float32)
    else:
        assert mean_image is not None  # `prepare` raises without it
        mean = mean_image.mean(axis=(1, 2))
    colour = reorder(mean[:, None, None], preprocessing).ravel()
    return three_channels(colour.round().clip(0, 255).astype(np.uint8))


def _transform_view(
    prepared: Prepared,
    transformation: Transformation,
    colour: NDArray[np.uint8] | None,
    preprocessing: Preprocessing,
) -> Rgb:
    """Return the transformed crop, uint8 (H, W, 3)."""
    height, width = prepared.geometries[0].network_size
    to_canvas = _canvas_matrix(transformation, (height, width))
    corners = to_canvas @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    window = Box(*corners.min(axis=1), *corners.max(axis=1)).whole()
    if _is_whole_pixel_shift(to_canvas):
        return _canvas(prepared, transformation.scale, window, colour, preprocessing)
    around = Box(window.x0 - _MARGIN, window.y0 - _MARGIN, window.x1 + _MARGIN, window.y1 + _MARGIN)
    canvas = _canvas(prepared, transformation.scale, around, colour, preprocessing)
    to_canvas[:, 2] -= (around.x0, around.y0)
    return _interpolate(canvas, to_canvas, (width, height))


def _canvas_matrix(transformation: Transformation, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the matrix (2, 3) that maps (x, y, 1) of the transformed crop to a position on the canvas.

    The canvas is the photo, scaled about the crop's centre but neither rotated nor translated. A point of the
    crop shows the canvas at centre + R^-1 (point - translation - centre).
    """
    angle = math.radians(transformation.rotation_deg)
    # Rounded, so that quarter turns map pixels exactly: the cosine of 90 degrees is 6e-17 in floating point.
    cosine, sine = round(math.cos(angle), 12), round(math.sin(angle), 12)
    rotation = np.array([[cosine, -sine], [sine, cosine]])  # R^-1: y points down
    centre = np.array([size[1] / 2, size[0] / 2])
    moved = centre + np.array([transformation.right_px, transformation.down_px])
    return np.column_stack([rotation, centre - rotation @ moved])


def _is_whole_pixel_shift(matrix: NDArray[np.float64]) -> bool:
    """Return whether the matrix is a translation by whole pixels."""
    return bool((matrix[:, :2] == np.eye(2)).all() and (matrix[:, 2] == matrix[:, 2].round()).all())


def _canvas(
    prepared: Prepared,
    scale: float,
    window: Box,
    colour: NDArray[np.uint8] | None,
    preprocessing: Preprocessing,
) -> Rgb:
    """Return a window of canvas pixels: the photo, surrounded by a colour, or by its edge pixels for None.

    window: with integer edges. Pixels that the photo covers only partly count as outside.
    """
    height, width = prepared.photo.shape[:2]
    geometry = prepared.geometries[0].resized((height, width))
    photo = _scale_about_centre(geometry.to_network(Box(0, 0, width, height)), scale, geometry)
    left, right = _visible_range(photo.x0, photo.x1, window.x0, window.x1)
    top, bottom = _visible_range(photo.y0, photo.y1, window.y0, window.y1)
    region = geometry.to_photo(_scale_about_centre(Box(left, top, right, bottom), 1 / scale, geometry))
    box = region.clip((height, width))
    visible = _resample(prepared.photo, box, (right - left, bottom - top), preprocessing)
    x, y = np.arange(window.x0, window.x1, dtype=int), np.arange(window.y0, window.y1, dtype=int)
    # Indices clipped to the photo repeat its edge pixels.
    canvas: Rgb = visible[y.clip(top, bottom - 1) - top][:, x.clip(left, right - 1) - left]
    if colour is not None:
        canvas[(y < top) | (y >= bottom)] = colour
        canvas[:, (x < left) | (x >= right)] = colour
    return canvas


def _scale_about_centre(box: Box, scale: float, geometry: Geometry) -> Box:
    """Return a box scaled about the crop's centre."""
    x, y = geometry.network_size[1] / 2, geometry.network_size[0] / 2
    from_centre = box.moved(-x, -y)
    return Box(
        from_centre.x0 * scale, from_centre.y0 * scale, from_centre.x1 * scale, from_centre.y1 * scale
    ).moved(x, y)


def _visible_range(start: float, end: float, window_start: float, window_end: float) -> tuple[int, int]:
    """Return the whole pixels of the photo, `start` to `end`, in a window; at least the nearest one."""
    first, last = math.ceil(start - 1e-6), math.floor(end + 1e-6)  # tolerance for rounding
    lowest = min(max(first, int(window_start)), last - 1)
    return lowest, max(min(last, int(window_end)), lowest + 1)


def _resample(photo: Rgb, region: Box, size: tuple[int, int], preprocessing: Preprocessing) -> Rgb:
    """Resample a region of the photo to `size` (width, height), with the filter of `prepare`."""
    image = Image.fromarray(photo)
    box = (region.x0, region.y0, region.x1, region.y1)
    return np.array(image.resize(size, preprocessing.resampling, box=box))


def _interpolate(canvas: Rgb, matrix: NDArray[np.float64], size: tuple[int, int]) -> Rgb:
    """Interpolate (bicubic) an image of `size` (width, height) at the positions given by the matrix."""
    data = tuple(matrix.flatten().tolist())
    # In floating point, because Pillow truncates interpolated bytes instead of rounding them.
    bands = [
        Image.fromarray(band.astype(np.float32)).transform(
            size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC
        )
        for band in canvas.transpose(2, 0, 1)
    ]
    levels = np.stack([np.asarray(band) for band in bands], axis=-1)
    return levels.round().clip(0, 255).astype(np.uint8)
