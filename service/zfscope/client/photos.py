"""Conversion of photos, in any form that callers pass them, into images of a request."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.client.arrays import ArrayLike, PixelTensor, array_to_wire, is_array
from zfscope.client.files import File, check_size, contents, is_file
from zfscope.errors import InputError
from zfscope.v1 import image_pb2

# A photo: a file (bytes, path, open file or Pillow image); pixels as uint8 (H, W, 3) RGB, (H, W, 4) RGBA or
# (H, W) grey; the normalised network input as float (3, H, W) or, of grey levels, (1, H, W); the same
# as a tensor of torch or another library; or a `PixelTensor`, which the service normalises.
Photo = File | NDArray[Any] | ArrayLike | PixelTensor


def image_to_wire(photo: Photo, *, field: str = "image") -> image_pb2.Image:
    """Convert a photo to an image message. Raises InputError for an unreadable file or an unsupported array.

    field: request field named in errors.
    """
    value: Any = photo
    if is_array(value) and not is_file(value):
        return array_to_wire(value, field)
    return image_pb2.Image(encoded=contents(value, field=field))


def images_to_wire(photos: Sequence[Photo]) -> list[image_pb2.Image]:
    """Convert photos to image messages. Raises InputError, naming the invalid one."""
    # Array-likes with one axis are accepted: columns of a table that contain paths.
    if is_file(photos) or isinstance(photos, np.ndarray | PixelTensor) or getattr(photos, "ndim", 1) != 1:
        raise InputError("images is a single photo; pass a list: [photo]", field="images")
    images, total = [], 0
    for index, photo in enumerate(photos):
        images.append(image_to_wire(photo, field=f"images[{index}]"))
        total += images[-1].ByteSize()
        check_size(total, "images")
    return images


def masks_to_wire(masks: Sequence[File]) -> list[bytes]:
    """Return the bytes of mask files. Raises InputError, naming the unreadable one."""
    if is_file(masks):
        raise InputError("masks is a single mask; pass a list: [mask]", field="masks")
    files = [contents(mask, field=f"masks[{index}]") for index, mask in enumerate(masks)]
    check_size(sum(map(len, files)), "masks")
    return files
