"""Encoding of output tensors: as typed contents if every type has them, otherwise raw."""

import struct

import numpy as np
import pytest

from zfscope.inference import inference_pb2 as pb
from zfscope.server.oip.outputs import bytes_array, response_to_wire

TYPED_REQUEST = pb.ModelInferRequest(inputs=[{"contents": {"fp32_contents": [1]}}])
ARRAYS = {
    "FP32": np.array([[1.5, -2]], np.float32),
    "UINT8": np.array([0, 255], np.uint8),
    "INT64": np.array([-(2**40)], np.int64),
    "BYTES": bytes_array([b"", b"ab"]),
}
TYPED_FIELDS = {
    "FP32": "fp32_contents",
    "UINT8": "uint_contents",
    "INT64": "int64_contents",
    "BYTES": "bytes_contents",
}


@pytest.mark.parametrize("datatype", ARRAYS)
def test_every_type_can_be_sent_as_typed_contents(datatype: str) -> None:
    array = ARRAYS[datatype]
    answer = response_to_wire(TYPED_REQUEST, model="tiny", version=1, outputs={"out": array})

    (output,) = answer.outputs
    assert (output.datatype, tuple(output.shape)) == (datatype, array.shape)
    assert list(getattr(output.contents, TYPED_FIELDS[datatype])) == array.ravel().tolist()
    assert not answer.raw_output_contents


def test_every_type_can_be_sent_raw() -> None:
    answer = response_to_wire(pb.ModelInferRequest(), model="tiny", version=1, outputs=ARRAYS)

    assert [output.datatype for output in answer.outputs] == list(ARRAYS)
    assert not any(output.HasField("contents") for output in answer.outputs)
    float32, uint8, int64, texts = answer.raw_output_contents
    assert float32 == struct.pack("<2f", 1.5, -2)
    assert uint8 == b"\x00\xff"
    assert int64 == struct.pack("<q", -(2**40))
    assert texts == struct.pack("<I", 0) + struct.pack("<I", 2) + b"ab"


def test_all_outputs_are_raw_if_one_has_half_precision() -> None:
    outputs = {"float16": np.array([1.5], np.float16), "float32": np.array([1.5], np.float32)}
    answer = response_to_wire(TYPED_REQUEST, model="tiny", version=1, outputs=outputs)

    assert [output.datatype for output in answer.outputs] == ["FP16", "FP32"]
    assert list(answer.raw_output_contents) == [struct.pack("<e", 1.5), struct.pack("<f", 1.5)]
    assert not any(output.HasField("contents") for output in answer.outputs)


def test_raw_contents_are_little_endian_on_every_machine() -> None:
    outputs = {"out": np.array([1.5], ">f4")}
    answer = response_to_wire(pb.ModelInferRequest(), model="tiny", version=1, outputs=outputs)

    assert list(answer.raw_output_contents) == [struct.pack("<f", 1.5)]
