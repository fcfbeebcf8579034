"""Conversion of arrays to and from the wire."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zfscope import results
from zfscope.errors import InputError
from zfscope.v1.tensor_pb2 import DataType, Tensor
from zfscope.wire.tensors import tensor_from_wire, tensor_to_wire

DTYPES = st.sampled_from([np.dtype(name) for name in ("u1", "<i8", "<f2", "<f4")])
FLOAT32 = DataType.DATA_TYPE_FLOAT32


@given(arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, max_dims=8, max_side=3)))
def test_an_array_is_unchanged_after_a_round_trip(array: np.ndarray) -> None:
    received = tensor_from_wire(tensor_to_wire(array), field="tensor")

    assert received.dtype == array.dtype
    np.testing.assert_array_equal(received, array)


def test_values_are_sent_row_major_and_little_endian() -> None:
    columns_first = np.asfortranarray(np.array([[1, 2], [3, 4]], dtype=">f4"))

    tensor = tensor_to_wire(columns_first)

    assert tensor.data == struct.pack("<4f", 1, 2, 3, 4)
    assert list(tensor.shape) == [2, 2]
    assert tensor.data_type == FLOAT32


@pytest.mark.parametrize("name", results.DTYPES)
def test_every_dtype_allowed_in_an_analysis_can_be_sent(name: str) -> None:
    assert tensor_from_wire(tensor_to_wire(np.ones(2, name)), field="t").dtype.name == name


def test_an_array_of_another_dtype_cannot_be_sent() -> None:
    with pytest.raises(InputError, match="an array of complex128 cannot be sent; allowed: uint8, int64"):
        tensor_to_wire(np.zeros(2, dtype=complex))


@pytest.mark.parametrize(
    ("tensor", "field", "message"),
    [
        (
            Tensor(shape=[1], data=b"1234"),
            "t.data_type",
            "data type 0 is not valid; allowed: DATA_TYPE_UINT8",
        ),
        (Tensor(data_type=77, shape=[1], data=b"1234"), "t.data_type", "data type 77 is not valid"),
        (
            Tensor(data_type=FLOAT32, shape=[2], data=b"1234"),
            "t.data",
            r"4 bytes; shape \(2,\) of float32 needs exactly 8",
        ),
        (Tensor(data_type=FLOAT32, shape=[1], data=b""), "t.data", "0 bytes; .* needs exactly 4"),
        (Tensor(data_type=FLOAT32, shape=[0], data=b""), "t.shape", r"shape \(0,\) has an extent below 1"),
        (Tensor(data_type=FLOAT32, shape=[-1, -1], data=b"1234"), "t.shape", "has an extent below 1"),
        (Tensor(data_type=FLOAT32, shape=[2**62, 2**62, 4], data=b""), "t.data", "0 bytes; .* needs exactly"),
        (Tensor(data_type=FLOAT32, shape=[1] * 9, data=b"1234"), "t.shape", "9 axes; allowed: at most 8"),
    ],
)
def test_an_inconsistent_tensor_is_rejected_with_the_wrong_field(
    tensor: Tensor, field: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        tensor_from_wire(tensor, field="t")

    assert refusal.value.field == field
