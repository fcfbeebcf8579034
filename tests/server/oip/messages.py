"""Requests and responses of GRPCInferenceService."""

import struct
from typing import Any

import numpy as np
import torch

from zfscope.inference import inference_pb2 as pb
from zfscope.store import Model

Request = pb.ModelInferRequest


def raw_tensors(pixels: np.ndarray, **others: Any) -> Request:
    """Return a request with tensors as raw contents."""
    tensor = Request.InferInputTensor(name="input", datatype="FP32", shape=pixels.shape)
    return Request(inputs=[tensor], raw_input_contents=[pixels.tobytes()], **others)


def typed_tensors(pixels: np.ndarray, **others: Any) -> Request:
    """Return a request with tensors as typed contents."""
    contents = pb.InferTensorContents(fp32_contents=pixels.ravel().tolist())
    tensor = Request.InferInputTensor(name="input", datatype="FP32", shape=pixels.shape, contents=contents)
    return Request(inputs=[tensor], **others)


def pack(*elements: bytes) -> bytes:
    """Encode BYTES elements as raw contents: each after its length, uint32 little-endian."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def raw_photos(*photos: bytes, shape: tuple[int, ...] = (), **others: Any) -> Request:
    """Return a request with files as raw contents: each file after its length."""
    tensor = Request.InferInputTensor(name="images", datatype="BYTES", shape=shape or (len(photos),))
    return Request(inputs=[tensor], raw_input_contents=[pack(*photos)], **others)


def typed_photos(*photos: bytes, **others: Any) -> Request:
    """Return a request with files as typed contents."""
    contents = pb.InferTensorContents(bytes_contents=photos)
    tensor = Request.InferInputTensor(
        name="images", datatype="BYTES", shape=(len(photos),), contents=contents
    )
    return Request(inputs=[tensor], **others)


def requested_outputs(*names: str, classes: int = 0) -> list[Request.InferRequestedOutputTensor]:
    """Return requested outputs. classes: number of classes to return as text; 0 for the values."""
    outputs = [Request.InferRequestedOutputTensor(name=name) for name in names]
    for output in outputs:
        if classes:
            output.parameters["classification"].int64_param = classes
    return outputs


def unpack(data: bytes) -> list[bytes]:
    """Decode the raw contents of a BYTES tensor."""
    elements = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        elements.append(data[4 : 4 + length])
        data = data[4 + length :]
    return elements


def raw_outputs(answer: pb.ModelInferResponse) -> dict[str, np.ndarray]:
    """Return the raw FP32 outputs of a response by name."""
    assert len(answer.raw_output_contents) == len(answer.outputs)
    assert {output.datatype for output in answer.outputs} == {"FP32"}
    return {
        output.name: np.frombuffer(data, "<f4").reshape(output.shape)
        for output, data in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


def network_scores(model: Model, pixels: np.ndarray) -> np.ndarray:
    """Return the class scores, computed with torch image by image."""
    with torch.inference_mode():
        scores: np.ndarray = torch.cat([model.network(torch.from_numpy(one[None])) for one in pixels]).numpy()
    return scores


def parameters(**values: Any) -> dict[str, pb.InferParameter]:
    """Return request parameters of the types of the values."""
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    return {name: pb.InferParameter(**{kinds[type(value)]: value}) for name, value in values.items()}
