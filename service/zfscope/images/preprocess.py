"""Preprocessing of a photo to network inputs (section 3 of the paper), with the position of every pixel."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.errors import InputError
from zfscope.images.decode import DecodedPhoto
from zfscope.images.geometry import Box, Geometry
from zfscope.images.normalise import (
    Interpolation,
    MeanImage,
    Preprocessing,
    input_colours,
    normalise,
    reorder,
    restore,
)
from zfscope.images.tensors import TensorScale, read_tensor
from zfscope.results import Notice

__all__ = [
    "Crops",
    "MeanImage",
    "Prepared",
    "Preprocessing",
    "centre_square",
    "crop_corners",
    "normalise",
    "prepare",
    "prepare_photo",
    "prepare_tensor",
    "reorder",
    "restore",
]

Crops = Literal["centre", "ten"]

# Radius of each filter, in pixels of the larger of the two scales.
_RADIUS: Mapping[Interpolation, int] = {"nearest": 1, "bilinear": 1, "bicubic": 2, "lanczos": 3}


@dataclass(frozen=True, eq=False)
class Prepared:
    """Photo and the network inputs made from it: N crops of H x W pixels.

    photo:       uint8 (height, width, 3), RGB, upright; smaller than `photo_size` of the geometries if a
                 large JPEG was decoded at a smaller scale.
    views:       uint8 (N, H, W, 3), RGB: the crops before normalisation; grey if the network reads grey.
    pixels:      float32 (N, C, H, W), normalised, channels in the network's order.
    geometries:  position of each crop in the photo.
    warnings:    assumptions made while decoding and preparing the photo.
    """

    photo: NDArray[np.uint8]
    views: NDArray[np.uint8]
    pixels: NDArray[np.float32]
    geometries: tuple[Geometry, ...]
    warnings: tuple[Notice, ...] = ()


def centre_square(
    photo: NDArray[np.uint8], preprocessing: Preprocessing, *, field: str = "image"
) -> NDArray[np.uint8]:
    """Return the centre square, uint8 (centre, centre, 3), of the resampled photo, uint8 (height, width, 3).

    Both sides are resampled by the same factor with Pillow's filter of the preprocessing; smaller photos are
    enlarged. Only the square is resampled: a whole photo of 1 x 50,000 pixels would grow to 3 gigapixels.

    Raises InputError, naming `field`, if the model does not resample (short_side 0) and the photo is smaller
    than the square.
    """
    return _resample(photo, _centre_region(photo, preprocessing, field), preprocessing)


def prepare(
    photo: NDArray[np.uint8],
    preprocessing: Preprocessing,
    *,
    crops: Crops = "centre",
    mean_image: MeanImage | None = None,
    field: str = "image",
) -> Prepared:
    """Return the network inputs of a photo, uint8 (height, width, 3), RGB.

    crops: crops of the `centre_square`: "centre", or "ten" for top left, top right, bottom left, bottom right
    and centre, and then their mirror images. A mean image of the size of the square is cropped and mirrored
    like the photo. Raises InputError like `centre_square` and `normalise`.
    """
    square = centre_square(photo, preprocessing, field=field)
    region = _centre_region(photo, preprocessing, field)
    size = preprocessing.crop
    corners = crop_corners(preprocessing, crops)
    views = input_colours(np.stack([square[y : y + size, x : x + size] for x, y in corners]), preprocessing)
    normal = [normalise(v, preprocessing, mean_image, at=at) for v, at in zip(views, corners, strict=True)]
    geometries = tuple(_crop_geometry(photo, region, corner, preprocessing) for corner in corners)
    prepared = Prepared(photo, views, np.stack(normal), geometries)
    return _with_mirror_images(prepared) if crops == "ten" else prepared


def prepare_photo(
    photo: DecodedPhoto,
    preprocessing: Preprocessing,
    *,
    crops: Crops = "centre",
    mean_image: MeanImage | None = None,
    field: str = "image",
) -> Prepared:
    """Prepare a decoded photo like `prepare`, with its warnings and with geometries for its original size."""
    prepared = prepare(photo.pixels, preprocessing, crops=crops, mean_image=mean_image, field=field)
    geometries = tuple(geometry.resized(photo.size) for geometry in prepared.geometries)
    return replace(prepared, geometries=geometries, warnings=photo.warnings)


def prepare_tensor(
    tensor: NDArray[np.generic],
    preprocessing: Preprocessing,
    *,
    mean_image: MeanImage | None = None,
    scale: TensorScale = "normalised",
    field: str = "tensor",
) -> Prepared:
    """Prepare a tensor like `prepare`; its photo is the image that the tensor shows.

    Arguments and errors are those of `zfscope.images.tensors.read_tensor`.
    """
    pixels, warnings = read_tensor(tensor, preprocessing, mean_image=mean_image, scale=scale, field=field)
    view = restore(pixels, preprocessing, mean_image)
    side = preprocessing.crop
    geometry = Geometry((side, side), (side, side), Box(0, 0, side, side))
    return Prepared(view, view[None], pixels[None], (geometry,), warnings)


def _centre_region(photo: NDArray[np.uint8], preprocessing: Preprocessing, field: str) -> Box:
    """Return the box of the centre square in photo pixels; its top left corner is a whole pixel."""
    height, width = photo.shape[:2]
    short, centre = min(height, width), preprocessing.centre
    side = centre * short / preprocessing.short_side if preprocessing.short_side else float(centre)
    if side > short:
        needed = f"the model does not resample photos and needs at least {centre} x {centre}"
        raise InputError(f"{field} has {width} x {height} pixels; {needed}", field=field)
    x, y = (width - side) // 2, (height - side) // 2
    return Box(x, y, x + side, y + side)


def _resample(photo: NDArray[np.uint8], region: Box, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resample a square region of the photo to the centre square; the filter also reads pixels around it."""
    size = preprocessing.centre
    margin = math.ceil(_RADIUS[preprocessing.interpolation] * max(1.0, region.width / size)) + 1
    around = Box(region.x0 - margin, region.y0 - margin, region.x1 + margin, region.y1 + margin)
    source = around.whole().clip((photo.shape[0], photo.shape[1]))
    inner = region.moved(-source.x0, -source.y0)
    resampled = Image.fromarray(np.ascontiguousarray(photo[source.slices])).resize(
        (size, size), preprocessing.resampling, box=(inner.x0, inner.y0, inner.x1, inner.y1)
    )
    return np.array(resampled)


def crop_corners(preprocessing: Preprocessing, crops: Crops) -> tuple[tuple[int, int], ...]:
    """Return (x, y) of the crops in the centre square: of the middle, or of the corners and the middle."""
    far = preprocessing.centre - preprocessing.crop
    middle = (far // 2, far // 2)
    return (middle,) if crops == "centre" else ((0, 0), (far, 0), (0, far), (far, far), middle)


def _crop_geometry(
    photo: NDArray[np.uint8], square: Box, corner: tuple[int, int], preprocessing: Preprocessing
) -> Geometry:
    """Return the position in the photo of the crop at `corner` (x, y) of the centre square."""
    scale = square.width / preprocessing.centre
    x, y, side = square.x0 + corner[0] * scale, square.y0 + corner[1] * scale, preprocessing.crop * scale
    size = (preprocessing.crop, preprocessing.crop)
    return Geometry((photo.shape[0], photo.shape[1]), size, Box(x, y, x + side, y + side))


def _with_mirror_images(prepared: Prepared) -> Prepared:
    mirrored = tuple(replace(geometry, flipped=True) for geometry in prepared.geometries)
    return Prepared(
        prepared.photo,
        np.concatenate([prepared.views, prepared.views[:, :, ::-1]]),
        np.concatenate([prepared.pixels, prepared.pixels[..., ::-1]]),
        prepared.geometries + mirrored,
        prepared.warnings,
    )
