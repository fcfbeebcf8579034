"""Conversion of arrays and tensors into images of a request."""

import io
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.client.files import File, check_size, contents, is_file
from zfscope.errors import InputError
from zfscope.v1 import image_pb2
from zfscope.wire.tensors import tensor_to_wire

# Channel counts of an array (H, W, channels) that can be encoded as a file: grey, RGB, RGBA.
_CHANNELS = (1, 3, 4)
# Sizes of the channel axis of a network's input.
_PLANES = ((1,), (3,))
_ALLOWED = (
    "allowed: pixels, uint8 (H, W, 3), (H, W, 4) or (H, W), and the network's own input, float (3, H, W), "
    "or (1, H, W) for a network that reads grey levels"
)


@dataclass(frozen=True, eq=False)
class PixelTensor:
    """RGB pixels in the size of the model's input, or grey levels of one channel, normalised by the service.

    values: (C, H, W) or (1, C, H, W); C is 3, or 1 for a network that reads grey levels. white: 255 for
    values from 0 to 255, 1 for values from 0 to 1; values out of range are rejected. By contrast, a plain
    float array is the normalised network input. For photos of any size, pass uint8 (H, W, 3).
    """

    values: NDArray[Any]
    white: float = 255


class ArrayLike(Protocol):
    """An array or tensor that numpy can convert: torch, JAX, TensorFlow, h5py and others."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """Return it as a numpy array."""
        ...


# An attribution: an array of numbers, (rows, columns) of the network's input, or a .npy file of one.
Attribution = File | NDArray[Any] | ArrayLike


def is_array(value: Any) -> bool:
    """Return whether a value is a numpy array or can be converted to one."""
    return isinstance(value, PixelTensor) or hasattr(value, "__array__")


def to_array(value: Any, field: str) -> NDArray[Any]:
    """Convert an array or tensor, on any device and with or without gradient, to numpy.

    Raises InputError, naming `field`, if numpy cannot convert it.
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
    """Convert an array to an image message. Raises InputError, naming `field`, if invalid or too large."""
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
    if array.dtype.kind == "f" and array.shape[-3:-2] in _PLANES and not _is_float_picture(array):
        check_size(4 * array.size, field)
        return image_pb2.Image(tensor=tensor_to_wire(_as_float32(array)))
    kind = f"an array of {array.dtype} {array.shape} is not a photo"
    raise InputError(f"{kind}; {_advice(array)}{_ALLOWED}", field=field)


def _pixels_to_wire(tensor: PixelTensor, field: str) -> image_pb2.Image:
    if tensor.white not in _SCALES:
        raise InputError(f"white is {tensor.white!r}; allowed: 255 and 1", field=field)
    values = to_array(tensor.values, field)
    check_size(values.size * (1 if values.dtype == np.uint8 else 4), field)
    if values.dtype != np.uint8:
        if values.dtype.kind not in "fiu":
            raise InputError(f"a PixelTensor of {values.dtype}; allowed: numbers", field=field)
        values = _as_float32(values)
    elif tensor.white == 1:
        raise InputError(
            "a PixelTensor of uint8 with white 1; uint8 values are 0 to 255: set white to 255", field=field
        )
    return image_pb2.Image(tensor=tensor_to_wire(values), tensor_scale=_SCALES[int(tensor.white)])


def _is_picture(array: NDArray[Any]) -> bool:
    """Return whether an array has the shape of a picture file; true also for (3, H, W) with W in 1, 3, 4."""
    return array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS)


def _is_float_picture(array: NDArray[Any]) -> bool:
    """Return whether a float array has its channels last, unlike a network's input."""
    return array.ndim == 3 and array.shape[2] in _CHANNELS and array.shape[1] != array.shape[2]


def _as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    """Convert to float32; values out of range become infinite, which the service rejects."""
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _advice(array: NDArray[Any]) -> str:
    """Return how to convert common arrays that are not accepted, or an empty string."""
    if array.dtype == np.uint8 and array.shape[:1] in _PLANES:
        return "put its channels last, array.transpose(1, 2, 0); "
    if array.dtype.kind == "f" and _is_picture(array):
        convert = "array.round().astype('uint8'), after multiplying by 255 if its values are 0 to 1"
        return f"convert it to uint8: {convert}; "
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        return "convert it to uint8, scaled to 0 to 255; "
    return ""


def attribution_to_wire(attribution: Attribution) -> bytes:
    """Return an attribution as the bytes of a .npy file. Raises InputError for another value."""
    value: Any = attribution
    if isinstance(value, Image.Image) or not (is_file(value) or is_array(value)):
        raise InputError(
            f"attribution is of type {type(value).__name__}; allowed: an array (rows, columns), or a .npy "
            "file as bytes, as a path or opened in binary mode",
            field="attribution",
        )
    if is_file(value):
        return contents(value, field="attribution")
    array = to_array(value, "attribution")
    if array.dtype.hasobject:
        raise InputError(
            f"attribution is an array of {array.dtype}; allowed: real numbers", field="attribution"
        )
    check_size(array.nbytes, "attribution")
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
