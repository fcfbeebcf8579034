"""Masks: pictures as large as the photo that say which of its pixels are covered."""

import base64
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, WithJsonSchema

from zfscope.errors import InputError
from zfscope.images.decode import decode_grey, roomy, stored_size
from zfscope.images.geometry import Geometry
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.images.preprocess import Prepared
from zfscope.results import Notice
from zfscope_analyzers.occlude.windows import Window

_LIGHT = 127
"""A lighter pixel, on a scale of 0 to 255, is covered."""


def _file_of(value: Any) -> Any:
    """Give the bytes of a file that JSON holds as base64; lines may be broken."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError as error:
        raise ValueError(f"a file has to come as base64: {error}") from error


MaskFile = Annotated[bytes, BeforeValidator(_file_of), WithJsonSchema({"type": "string", "format": "base64"})]
"""An image file's bytes; in JSON as base64."""


def masked(data: bytes, prepared: Prepared, field: str, limits: DecodeLimits) -> Window:
    """Return the smallest window of the first crop around what a mask covers in it.

    data: an image file as large as the photo, whose pixels lighter than 127 are covered. A pixel of the
    crop is where the photo's pixel nearest to its centre is.
    Raises InputError, naming `field`, for what is no image, for one of another size, and for a mask that
    covers nothing of the crop.
    """
    geometry = prepared.geometries[0]
    light, warnings = light_pixels(data, geometry.photo_size, field, limits)
    covered = _in_crop(light, geometry)
    y, x = np.nonzero(covered)
    if not y.size:
        region = geometry.region
        raise InputError(
            f"{field} covers nothing of what the network sees, ({region.x0:g}, {region.y0:g}) to "
            f"({region.x1:g}, {region.y1:g}) of the photo; pixels lighter than {_LIGHT} are covered",
            field=field,
        )
    top, left, bottom, right = int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1
    return Window(top, left, bottom - top, right - left, covered[top:bottom, left:right], warnings)


class LightPixels(NamedTuple):
    """Which pixels of a mask are lighter than 127: bool (H, W); and what was assumed of its file."""

    pixels: NDArray[np.bool_]
    warnings: tuple[Notice, ...]


def light_pixels(
    data: bytes, size: tuple[int, int], field: str, limits: DecodeLimits | None = None
) -> LightPixels:
    """Return the light pixels of an image file of a size (height, width), fewer of a large JPEG.

    A colour counts as its luminance (ITU-R 601), what is transparent as black. limits: those of the
    environment unless given. Raises InputError.
    """
    limits = limits or environment_limits()
    stored = stored_size(data, limits=roomy(limits), field=field)
    if sorted(stored) != sorted(size):  # turned or not: nothing has to be unpacked to know
        raise _misfit(stored, size, field)
    mask = decode_grey(data, limits=limits, field=field)
    if mask.size != size:
        raise _misfit(mask.size, size, field)
    light: NDArray[np.bool_] = mask.pixels > _LIGHT
    return LightPixels(light, tuple(notice for notice in mask.warnings if notice.code != "colour-profile"))


def _misfit(found: tuple[int, ...], photo: tuple[int, int], field: str) -> InputError:
    return InputError(
        f"{field} is {found[1]} x {found[0]} pixels; the photo is {photo[1]} x {photo[0]}: a mask has to be "
        "as large as the photo, after EXIF orientation",
        field=field,
    )


def _in_crop(pixels: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.bool_]:
    """Give, for each pixel of the crop, the pixel of the photo under its centre."""
    geometry = geometry.resized((pixels.shape[0], pixels.shape[1]))
    (height, width), region = geometry.network_size, geometry.region
    rows = np.floor(region.y0 + (np.arange(height) + 0.5) * region.height / height).astype(int)
    columns = np.floor(region.x0 + (np.arange(width) + 0.5) * region.width / width).astype(int)
    found: NDArray[np.bool_] = pixels[np.ix_(rows, columns)]
    return found
