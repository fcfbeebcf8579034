"""Photos on the wire: what comes is decoded and prepared, what goes are pictures, boxes and sizes."""

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.decode import DecodeLimits, decode
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Crops, Prepared, prepare, prepare_tensor
from zfscope.server.tensors import tensor_from_wire
from zfscope.store import Model
from zfscope.v1 import image_pb2


def image_from_wire(
    image: image_pb2.Image, model: Model, *, limits: DecodeLimits, crops: Crops = "centre"
) -> Prepared:
    """Decode an image and prepare it for a model; a tensor is what the network reads already.

    Raises InputError, naming the field, for an image that is missing, broken, or over a limit.
    """
    content = image.WhichOneof("content")
    if content == "encoded":
        field = "image.encoded"
        photo = decode(image.encoded, limits=limits, field=field)
        return prepare(photo, model.preprocessing, crops=crops, mean_image=model.mean_image, field=field)
    if content == "tensor":
        field = "image.tensor"
        tensor = tensor_from_wire(image.tensor, field=field).copy()  # torch warns of what it may not write to
        return prepare_tensor(tensor, model.preprocessing, mean_image=model.mean_image, field=field)
    raise InputError("no image; give image.encoded, the bytes of a file, or image.tensor", field="image")


def size_to_wire(photo: NDArray[np.uint8]) -> image_pb2.Size:
    """Write the size of a photo, (height, width, 3)."""
    return image_pb2.Size(width=photo.shape[1], height=photo.shape[0])


def box_to_wire(box: Box) -> image_pb2.Box:
    """Write a box in pixels."""
    return image_pb2.Box(x0=box.x0, y0=box.y0, x1=box.x1, y1=box.y1)
