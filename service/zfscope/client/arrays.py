"""Arrays as images of a request: pixels as a file, or numbers as a tensor with what they are."""

import io
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.client.files import check_size
from zfscope.errors import InputError
from zfscope.v1 import image_pb2
from zfscope.wire.tensors import tensor_to_wire

# Channels of an array (H, W, channels) that a file can hold: grey, RGB, RGBA.
_CHANNELS = (1, 3, 4)
_ALLOWED = (
    "allowed are pixels, uint8 (H, W, 3), (H, W, 4) or (H, W), and the network's own input, float (3, H, W)"
)


@dataclass(frozen=True, eq=False)
class PixelTensor:
    """Pixels in the size of the model's input, which the service normalises: (3, H, W) or (1, 3, H, W), RGB.

    white: 255 for values of 0 to 255, 1 for values of 0 to 1; beyond them the service refuses. A plain float
    array is what the network itself reads, normalised already. For photos of any size send uint8 (H, W, 3).
    """

    values: NDArray[Any]
    white: float = 255


class ArrayLike(Protocol):
    """An array or tensor of any library that numpy can read: torch, JAX, TensorFlow, h5py and others."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """Return it as an array of numpy's."""
        ...


def is_array(value: Any) -> bool:
    """Return whether a value is an array, or a tensor that numpy can read."""
    return isinstance(value, PixelTensor) or hasattr(value, "__array__")


def to_array(value: Any, field: str) -> NDArray[Any]:
    """Return an array, or a tensor of any device that may need a gradient, as an array of numpy's.

    Raises InputError, naming `field`, for one that numpy cannot read.
    """
    if isinstance(value, np.ndarray):
        return value
    try:
        return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
        message = (
            f"{field}: numpy cannot read this {kind}: {error}; convert it to an array of float32 or uint8"
        )
        raise InputError(message, field=field) from error


_SCALES = {255: image_pb2.TENSOR_SCALE_PIXELS_255, 1: image_pb2.TENSOR_SCALE_PIXELS_1}


def array_to_wire(photo: ArrayLike | PixelTensor, field: str) -> image_pb2.Image:
    """Write an array. Raises InputError, naming `field`, for one that is not an image, or too large."""
    if isinstance(photo, PixelTensor):
        return _pixels_to_wire(photo, field)
    array = to_array(photo, field)
    if array.dtype == np.uint8 and array.size and _is_picture(array):
        file = io.BytesIO()
        Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array).save(
            file, "PNG", compress_level=1
        )
        check_size(file.tell(), field)
        return image_pb2.Image(encoded=file.getvalue())
    if array.dtype.kind == "f" and array.shape[-3:-2] == (3,) and not _is_float_picture(array):
        check_size(4 * array.size, field)
        return image_pb2.Image(tensor=tensor_to_wire(_as_float32(array)))
    kind = f"an array of {array.dtype} {array.shape} is not a photo"
    raise InputError(f"{kind}; {_advice(array)}{_ALLOWED}", field=field)


def _pixels_to_wire(tensor: PixelTensor, field: str) -> image_pb2.Image:
    if tensor.white not in _SCALES:
        raise InputError(f"white is {tensor.white!r}; allowed are 255 and 1", field=field)
    values = to_array(tensor.values, field)
    check_size(values.size * (1 if values.dtype == np.uint8 else 4), field)
    if values.dtype != np.uint8:
        if values.dtype.kind not in "fiu":
            raise InputError(f"a PixelTensor of {values.dtype}; allowed are numbers", field=field)
        values = _as_float32(values)
    elif tensor.white == 1:
        raise InputError("a PixelTensor of uint8 with white 1; its values are of 0 to 255", field=field)
    return image_pb2.Image(tensor=tensor_to_wire(values), tensor_scale=_SCALES[int(tensor.white)])


def _is_picture(array: NDArray[Any]) -> bool:
    """Return whether an array has a shape that a file can hold; (3, H, W) with W of 1, 3 or 4 is one too."""
    return array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)


def _is_float_picture(array: NDArray[Any]) -> bool:
    """Return whether a float array has its channels last, so that it is no input of a network."""
    return array.ndim == 3 and array.shape[2] in _CHANNELS and array.shape[1] != array.shape[2]


def _as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers as float32; what is too large becomes infinite, which the service refuses."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _advice(array: NDArray[Any]) -> str:
    """Return what to do with arrays that people often have."""
    if array.dtype == np.uint8 and array.shape[:1] == (3,):
        return "put its channels last, array.transpose(1, 2, 0); "
    if array.dtype.kind == "f" and _is_picture(array):
        return "make it uint8: array.round().astype('uint8'), times 255 before if it is of 0 to 1; "
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        return "make it uint8, scaled to 0 to 255; "
    return ""
