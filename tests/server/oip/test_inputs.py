"""Parsing of input tensors: any request is parsed correctly or rejected."""

import math
import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zfscope.errors import InputError
from zfscope.inference import inference_pb2 as pb
from zfscope.server.oip.inputs import inputs_to_wire, parse_images

Request = pb.ModelInferRequest

LENGTHS = st.integers(0, 5) | st.integers(2**31, 2**32 - 1)
ELEMENTS = st.builds(lambda length, data: struct.pack("<I", length) + data, LENGTHS, st.binary(max_size=5))
RAW = st.binary(max_size=40) | st.lists(ELEMENTS, max_size=4).map(b"".join)
CONTENTS = st.builds(
    pb.InferTensorContents,
    fp32_contents=st.lists(st.floats(width=32), max_size=6),
    fp64_contents=st.lists(st.floats(), max_size=1),
    bytes_contents=st.lists(st.binary(max_size=5), max_size=4),
)
TENSORS = st.builds(
    Request.InferInputTensor,
    name=st.sampled_from(["input", "images", "", "data"]),
    datatype=st.sampled_from(["FP32", "BYTES", "FP16", ""]),
    shape=st.lists(st.integers(-1, 4) | st.integers(-(2**63), 2**63 - 1), max_size=9),
    contents=st.none() | CONTENTS,
)
REQUESTS = st.builds(
    Request, inputs=st.lists(TENSORS, max_size=2), raw_input_contents=st.lists(RAW, max_size=2)
)


@given(REQUESTS)
def test_any_request_is_parsed_according_to_its_shape_or_rejected(request: Request) -> None:
    try:
        parsed = parse_images(request)
        images = list(inputs_to_wire(parsed).values()) if parsed else []
    except InputError:
        return

    assert len(images) == (parsed.images if parsed else 0)
    for image in images:
        if image.HasField("tensor"):
            assert len(image.tensor.data) == 4 * math.prod(image.tensor.shape)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_files_are_parsed_unchanged(files: list[bytes]) -> None:
    tensor = Request.InferInputTensor(name="images", datatype="BYTES", shape=[len(files)])
    raw = b"".join(struct.pack("<I", len(file)) + file for file in files)
    parsed = parse_images(Request(inputs=[tensor], raw_input_contents=[raw]))

    assert parsed is not None
    assert [image.encoded for image in inputs_to_wire(parsed).values()] == files


@given(st.integers(1, 3), st.lists(st.integers(1, 3), max_size=3))
def test_raw_and_typed_tensors_are_parsed_unchanged(images: int, extents: list[int]) -> None:
    array = np.random.default_rng(1).normal(size=(images, *extents)).astype("<f4")
    raw = Request.InferInputTensor(name="input", datatype="FP32", shape=array.shape)
    typed = Request.InferInputTensor(name="input", datatype="FP32", shape=array.shape)
    typed.contents.fp32_contents.extend(array.ravel().tolist())
    for request in (Request(inputs=[raw], raw_input_contents=[array.tobytes()]), Request(inputs=[typed])):
        parsed = parse_images(request)

        assert parsed is not None
        tensors = [image.tensor for image in inputs_to_wire(parsed).values()]
        assert [tensor.data for tensor in tensors] == [image.tobytes() for image in array]
        assert [tuple(tensor.shape) for tensor in tensors] == [tuple(extents)] * images
