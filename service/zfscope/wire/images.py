"""Decoding and preparation of the images in requests."""

from typing import NamedTuple, Protocol, TypeVar

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
    """Preprocessing of the model for which images are prepared."""

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing from a photo to the network's input."""
        ...

    @property
    def mean_image(self) -> NDArray[np.float32] | None:
        """Mean image subtracted from photos, or None."""
        ...


M_contra = TypeVar("M_contra", bound=PreprocessedModel, contravariant=True)


class PrepareFile(Protocol[M_contra]):
    """Function that decodes an image file and prepares it for a model."""

    def __call__(
        self, data: bytes, model: M_contra, *, limits: DecodeLimits, crops: Crops, field: str
    ) -> Prepared:
        """Return the photo and the network's input. Raises InputError, naming the field."""
        ...


def prepare_file(
    data: bytes, model: PreprocessedModel, *, limits: DecodeLimits, crops: Crops, field: str
) -> Prepared:
    """Decode an image file and prepare it for a model."""
    photo = decode_photo(data, limits=limits, field=field)
    return prepare_photo(photo, model.preprocessing, crops=crops, mean_image=model.mean_image, field=field)


class Pixels(NamedTuple):
    """Network input, float32 (N, C, H, W), with the photo's size (height, width) and warnings about it."""

    pixels: NDArray[np.float32]
    size: tuple[int, int]
    warnings: tuple[Notice, ...]


def image_from_wire(
    image: image_pb2.Image,
    model: M_contra,
    *,
    limits: DecodeLimits,
    crops: Crops = "centre",
    field: str = "image",
    prepare: PrepareFile[M_contra] = prepare_file,
) -> Prepared:
    """Decode an image and prepare it for a model; a tensor is taken as the network's input.

    prepare: decodes and prepares encoded files. Raises InputError, naming the field, for a missing or invalid
    image or one over a limit.
    """
    content, scale = image.WhichOneof("content"), _scale_of(image, field)
    if content == "encoded":
        return prepare(image.encoded, model, limits=limits, crops=crops, field=f"{field}.encoded")
    if content == "tensor":
        field = f"{field}.tensor"
        tensor = tensor_from_wire(image.tensor, field=field)
        return prepare_tensor(
            tensor, model.preprocessing, mean_image=model.mean_image, scale=scale, field=field
        )
    raise InputError(
        f"image is missing; set {field}.encoded to the bytes of a file, or {field}.tensor", field=field
    )


def pixels_from_wire(
    image: image_pb2.Image,
    model: PreprocessedModel,
    *,
    limits: DecodeLimits,
    crops: Crops = "centre",
    field: str = "image",
) -> Pixels:
    """Return only the network's input for an image, without the pictures needed to render results."""
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
    """Return the scale of an image's tensor. Raises InputError if an encoded file has a scale."""
    field = f"{field}.tensor_scale"
    word = enum_from_wire(image_pb2.TensorScale.DESCRIPTOR, image.tensor_scale, field=field)
    if word and image.WhichOneof("content") != "tensor":
        raise InputError(f"{field} applies to tensors only; leave it unset for an encoded file", field=field)
    return next((scale for scale in SCALES if scale == word), "normalised")
