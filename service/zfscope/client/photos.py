"""Photos as callers have them, as images of a request."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.client.arrays import ArrayLike, PixelTensor, array_to_wire, is_array
from zfscope.client.files import File, check_size, contents, is_file
from zfscope.errors import InputError
from zfscope.v1 import image_pb2

Photo = File | NDArray[Any] | ArrayLike | PixelTensor
"""A file; pixels, uint8 (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey; the network's own input, normalised,
float (3, H, W); a tensor of torch or another library of the same; or a `PixelTensor`, which the service
normalises."""


def image_to_wire(photo: Photo, *, field: str = "image") -> image_pb2.Image:
    """Return a photo as an image. Raises InputError for a path without a file and an array that is no photo.

    field: of the request, for messages.
    """
    given: Any = photo
    if is_array(given) and not is_file(given):
        return array_to_wire(given, field)
    return image_pb2.Image(encoded=contents(given, field=field))


def images_to_wire(photos: Sequence[Photo]) -> list[image_pb2.Image]:
    """Return photos as images. Raises InputError, naming the one that cannot be used."""
    # One axis: a column of a table, which holds paths.
    if is_file(photos) or isinstance(photos, np.ndarray | PixelTensor) or getattr(photos, "ndim", 1) != 1:
        raise InputError("one photo where a list of them is asked for: give [photo]", field="images")
    images, total = [], 0
    for index, photo in enumerate(photos):
        images.append(image_to_wire(photo, field=f"images[{index}]"))
        total += images[-1].ByteSize()
        check_size(total, "images")
    return images


def masks_to_wire(masks: Sequence[File]) -> list[bytes]:
    """Return the files of masks. Raises InputError, naming the one that cannot be read."""
    if is_file(masks):
        raise InputError("one mask where a list of them is asked for: give [mask]", field="masks")
    files = [contents(mask, field=f"masks[{index}]") for index, mask in enumerate(masks)]
    check_size(sum(map(len, files)), "masks")
    return files
