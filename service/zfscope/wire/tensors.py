"""Conversion between numpy arrays and `zfscope.v1.Tensor`, validated before any data is interpreted."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.results import MAX_AXES
from zfscope.v1.tensor_pb2 import DataType, Tensor

_TYPES: Mapping[int, np.dtype[Any]] = {
    DataType.DATA_TYPE_UINT8: np.dtype("u1"),
    DataType.DATA_TYPE_INT64: np.dtype("<i8"),
    DataType.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    DataType.DATA_TYPE_FLOAT32: np.dtype("<f4"),
}
_WIRE_TYPES = {dtype: wire for wire, dtype in _TYPES.items()}


def tensor_to_wire(array: NDArray[Any]) -> Tensor:
    """Convert an array of uint8, int64, float16 or float32. Raises InputError for other types."""
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _WIRE_TYPES:
        raise InputError(f"an array of {array.dtype} cannot be sent; allowed: {_names(_WIRE_TYPES)}")
    data = np.ascontiguousarray(array, dtype=dtype).tobytes()
    return Tensor(data_type=DataType.ValueType(_WIRE_TYPES[dtype]), shape=array.shape, data=data)


def tensor_from_wire(tensor: Tensor, *, field: str) -> NDArray[Any]:
    """Convert a tensor to a read-only array that shares the bytes of the message.

    field: path of the tensor in the request, for messages. Raises InputError for an unknown data type, an
    invalid shape, or data whose size does not match type and shape.
    """
    dtype = _TYPES.get(tensor.data_type)
    if dtype is None:
        allowed = ", ".join(DataType.Name(DataType.ValueType(wire)) for wire in _TYPES)
        raise InputError(
            f"data type {tensor.data_type} is not valid; allowed: {allowed}", field=f"{field}.data_type"
        )
    shape = _validate_shape(tensor.shape, field=f"{field}.shape")
    wanted = math.prod(shape) * dtype.itemsize
    data = tensor.data  # each access copies it
    if len(data) != wanted:
        raise InputError(
            f"{len(data)} bytes; shape {shape} of {dtype.name} needs exactly {wanted}",
            field=f"{field}.data",
        )
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _validate_shape(shape: Sequence[int], *, field: str) -> tuple[int, ...]:
    if len(shape) > MAX_AXES:
        raise InputError(f"{len(shape)} axes; allowed: at most {MAX_AXES}", field=field)
    if any(extent < 1 for extent in shape):
        raise InputError(f"shape {tuple(shape)} has an extent below 1; each must be 1 or more", field=field)
    return tuple(shape)


def _names(dtypes: Mapping[np.dtype[Any], int]) -> str:
    return ", ".join(dtype.name for dtype in dtypes)
