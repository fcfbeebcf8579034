"""Photos on the wire: what comes is decoded and prepared, what goes are pictures, boxes and sizes."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.decode import decode_photo
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Crops, Prepared, Preprocessing, prepare_photo, prepare_tensor
from zfscope.images.tensors import SCALES, TensorScale, read_tensor
from zfscope.results import Notice
from zfscope.v1 import image_pb2
from zfscope.wire.enums import enum_from_wire
from zfscope.wire.tensors import tensor_from_wire


class PreprocessedModel(Protocol):
    """What is known of a model that images are prepared for."""

    @property
    def preprocessing(self) -> Preprocessing:
        """From a photo to the network's input."""
        ...

    @property
    def mean_image(self) -> NDArray[np.float32] | None:
        """The mean image that is subtracted, where the model has one."""
        ...


class Pixels(NamedTuple):
    """A network's input, float32 (N, 3, H, W); the photo's size, (height, width); what was assumed of it."""

    pixels: NDArray[np.float32]
    size: tuple[int, int]
    warnings: tuple[Notice, ...]


def image_from_wire(
    image: image_pb2.Image,
    model: PreprocessedModel,
    *,
    limits: DecodeLimits,
    crops: Crops = "centre",
    field: str = "image",
) -> Prepared:
    """Decode an image and prepare it for a model; a tensor is what the network reads already.

    Raises InputError, naming the field, for an image that is missing, broken, or over a limit.
    """
    content, scale = image.WhichOneof("content"), _scale_of(image, field)
    if content == "encoded":
        field = f"{field}.encoded"
        photo = decode_photo(image.encoded, limits=limits, field=field)
        return prepare_photo(
            photo, model.preprocessing, crops=crops, mean_image=model.mean_image, field=field
        )
    if content == "tensor":
        field = f"{field}.tensor"
        tensor = tensor_from_wire(image.tensor, field=field)
        return prepare_tensor(
            tensor, model.preprocessing, mean_image=model.mean_image, scale=scale, field=field
        )
    raise InputError(f"no image; give {field}.encoded, the bytes of a file, or {field}.tensor", field=field)


def pixels_from_wire(
    image: image_pb2.Image,
    model: PreprocessedModel,
    *,
    limits: DecodeLimits,
    crops: Crops = "centre",
    field: str = "image",
) -> Pixels:
    """Return the network's input of an image without its pictures; of a tensor none is drawn."""
    if image.WhichOneof("content") == "tensor":
        scale, field = _scale_of(image, field), f"{field}.tensor"
        tensor = tensor_from_wire(image.tensor, field=field)
        pixels, warnings = read_tensor(
            tensor, model.preprocessing, mean_image=model.mean_image, scale=scale, field=field
        )
        return Pixels(pixels[None], (pixels.shape[1], pixels.shape[2]), warnings)
    prepared = image_from_wire(image, model, limits=limits, crops=crops, field=field)
    return Pixels(prepared.pixels, prepared.geometries[0].photo_size, prepared.warnings)


def _scale_of(image: image_pb2.Image, field: str) -> TensorScale:
    """Return what the numbers of an image's tensor are. Raises InputError for a file that has a scale."""
    field = f"{field}.tensor_scale"
    word = enum_from_wire(image_pb2.TensorScale.DESCRIPTOR, image.tensor_scale, field=field)
    if word and image.WhichOneof("content") != "tensor":
        raise InputError(f"{field} is for tensors alone; leave it out for a file's bytes", field=field)
    return next((scale for scale in SCALES if scale == word), "normalised")
