"""GRPCInferenceService: invalid requests and limits."""

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from tests.server.conftest import CallError, RunningService
from tests.server.oip.messages import (
    Request,
    pack,
    raw_photos,
    raw_tensors,
    requested_outputs,
)
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.server.settings import Settings

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def tensor(**changes: Any) -> Request.InferInputTensor:
    return Request.InferInputTensor(
        **{"name": "input", "datatype": "FP32", "shape": (1, 3, 32, 32), **changes}
    )


def request_with(tensor: Request.InferInputTensor, *raw: bytes, **others: Any) -> Request:
    return Request(inputs=[tensor], raw_input_contents=raw, **others)


ONE_IMAGE = bytes(4 * 3 * 32 * 32)
FILES = {"name": "images", "datatype": "BYTES"}
CONTENTS = pb.InferTensorContents
INVALID_REQUESTS: dict[str, tuple[Request, str, str]] = {
    "no input": (Request(), "inputs", "no images; send the input 'input' or 'images'"),
    "two inputs": (
        Request(inputs=[tensor(), tensor()], raw_input_contents=[ONE_IMAGE, ONE_IMAGE]),
        "inputs",
        "2 inputs, 'input', 'input' ...; send one, 'input' (FP32) or 'images' (BYTES)",
    ),
    "unknown input": (
        request_with(tensor(name="data"), ONE_IMAGE),
        "inputs[0].name",
        "input 'data' not found; send 'input' (FP32)",
    ),
    "unknown type": (
        request_with(tensor(datatype="FP31"), ONE_IMAGE),
        "inputs[0].datatype",
        "datatype 'FP31' of 'input' is invalid; expected FP32",
    ),
    "no type": (
        request_with(tensor(datatype=""), ONE_IMAGE),
        "inputs[0].datatype",
        "datatype '' of 'input' is invalid",
    ),
    "another type": (
        request_with(tensor(datatype="FP64"), ONE_IMAGE * 2),
        "inputs[0].datatype",
        "datatype 'FP64' of 'input' is invalid; expected FP32",
    ),
    "no shape": (
        request_with(tensor(shape=()), ONE_IMAGE),
        "inputs[0].shape",
        "shape [] is invalid; allowed: 1 to 8 axes",
    ),
    "an extent of 0": (
        request_with(tensor(shape=(0, 3, 32, 32)), b""),
        "inputs[0].shape",
        "shape [0, 3, 32, 32] is invalid; allowed: 1 to 8 axes, each of at least 1",
    ),
    "a negative extent": (
        request_with(tensor(shape=(-1, 3, 32, -32)), ONE_IMAGE),
        "inputs[0].shape",
        "shape [-1, 3, 32, -32] is invalid",
    ),
    "a million axes": (
        request_with(tensor(shape=[1] * 1_000_000), ONE_IMAGE),
        "inputs[0].shape",
        "shape [1, 1, 1, 1, 1, 1, 1, 1, ...] is invalid; allowed: 1 to 8 axes",
    ),
    "another shape": (
        request_with(tensor(shape=(1, 32, 32, 3)), ONE_IMAGE),
        "inputs[0].shape",
        "shape [1, 32, 32, 3] of 'input' is invalid; expected [images, 3, 32, 32]",
    ),
    "no batch": (
        request_with(tensor(shape=(3, 32, 32)), ONE_IMAGE),
        "inputs[0].shape",
        "shape [3, 32, 32] of 'input' is invalid; expected [images, 3, 32, 32]",
    ),
    "too few bytes": (
        request_with(tensor(), ONE_IMAGE[:-1]),
        "raw_input_contents[0]",
        "12287 bytes; shape [1, 3, 32, 32] of FP32 requires 12288",
    ),
    "a product that overflows": (
        request_with(tensor(shape=(1 << 62, 1 << 62, 4)), b""),
        "raw_input_contents[0]",
        "0 bytes; shape [4611686018427387904, 4611686018427387904, 4] of FP32 requires",
    ),
    "a product that overflows to the number of bytes": (
        request_with(tensor(shape=(1 << 62, 1 << 2, 3, 32)), b""),
        "raw_input_contents[0]",
        "0 bytes; shape",
    ),
    "too few numbers": (
        request_with(tensor(contents=CONTENTS(fp32_contents=[1, 2, 3]))),
        "inputs[0].contents.fp32_contents",
        "3 elements; shape [1, 3, 32, 32] requires 3072",
    ),
    "numbers of another list": (
        request_with(tensor(contents=CONTENTS(fp64_contents=[0.0] * 3072))),
        "inputs[0].contents",
        "fp64_contents is set; send FP32 raw or in fp32_contents",
    ),
    "nothing sent": (request_with(tensor()), "inputs[0].contents", "nothing is set; send FP32 raw"),
    "sent twice": (
        request_with(tensor(contents=CONTENTS(fp32_contents=[0.0] * 3072)), ONE_IMAGE),
        "inputs[0].contents",
        "both fp32_contents and raw contents are set",
    ),
    "raw contents of nothing": (
        Request(raw_input_contents=[ONE_IMAGE]),
        "raw_input_contents",
        "1 for 0 inputs; send one for each, or none",
    ),
    "too many raw contents": (
        request_with(tensor(), ONE_IMAGE, ONE_IMAGE),
        "raw_input_contents",
        "2 for 1 inputs",
    ),
    "not finite": (
        raw_tensors(np.full((1, 3, 32, 32), np.nan, np.float32)),
        "input[0]",
        "input[0] is nan at channel 0",
    ),
    "shared memory": (
        request_with(tensor(parameters={"shared_memory_region": pb.InferParameter(string_param="mine")})),
        "inputs[0].parameters",
        "tensors in shared memory are not supported, send their contents",
    ),
    "a length that lies": (
        request_with(tensor(**FILES, shape=(1,)), b"\xff\xff\xff\xffabc"),
        "raw_input_contents[0]",
        "element 0 has 4294967295 bytes; only 3 are left",
    ),
    "a length cut off": (
        request_with(tensor(**FILES, shape=(2,)), pack(b"abcde") + b"\1"),
        "raw_input_contents[0]",
        "the length of element 1 is truncated at byte 9",
    ),
    "bytes left over": (
        request_with(tensor(**FILES, shape=(1,)), pack(b"abc", b"de")),
        "raw_input_contents[0]",
        "6 bytes after the last element",
    ),
    "more photos than bytes": (
        request_with(tensor(**FILES, shape=(1 << 62,)), pack(b"abc")),
        "raw_input_contents[0]",
        "7 bytes; too few for 4611686018427387904 elements",
    ),
    "photos of another shape": (
        request_with(tensor(**FILES, shape=(1, 2)), pack(b"abc", b"de")),
        "inputs[0].shape",
        "shape [1, 2] of 'images' is invalid; expected [photos] or [photos, 1]",
    ),
    "no photo": (
        raw_photos(b"hello, world"),
        "images[0].encoded",
        "images[0].encoded is not an image",
    ),
    "a duplicate output": (
        request_with(tensor(), ONE_IMAGE, outputs=requested_outputs("logits", "logits")),
        "outputs[1].name",
        "'logits' is requested twice",
    ),
    "classes of a layer": (
        request_with(tensor(), ONE_IMAGE, outputs=requested_outputs("conv1", classes=3)),
        "outputs[0].parameters",
        "'conv1' has no classes; request those of logits or probabilities",
    ),
    "no classes": (
        request_with(tensor(), ONE_IMAGE, outputs=requested_outputs("logits", classes=-1)),
        "outputs[0].parameters.classification",
        "classification must be an integer of at least 1",
    ),
    "an unknown parameter": (
        request_with(tensor(), ONE_IMAGE, parameters={"layer": pb.InferParameter(string_param="conv5")}),
        "parameters",
        "unknown parameter 'layer'; available for models: tensor_scale",
    ),
}


@pytest.mark.parametrize("case", INVALID_REQUESTS)
def test_an_invalid_request_is_an_invalid_argument_and_the_next_call_succeeds(
    stub: GRPCInferenceServiceStub, call_error: Callable[..., CallError], pixels: np.ndarray, case: str
) -> None:
    request, field, message = INVALID_REQUESTS[case]

    error = call_error(stub.ModelInfer, request)

    assert (error.code, error.field) == (INVALID, field)
    assert message in error.message
    assert stub.ModelInfer(raw_tensors(pixels)).outputs


def test_the_error_for_an_unknown_output_lists_the_available_ones(
    stub: GRPCInferenceServiceStub, call_error: Callable[..., CallError], pixels: np.ndarray
) -> None:
    error = call_error(stub.ModelInfer, raw_tensors(pixels, outputs=requested_outputs("logits", "conv9")))

    assert (error.code, error.field) == (NOT_FOUND, "outputs[1].name")
    assert "output 'conv9' not found; available: logits, probabilities, conv1, relu1" in error.message


def test_requests_over_the_limits_are_rejected(
    settings: Settings, make_service: Callable[..., RunningService], call_error: Callable[..., CallError]
) -> None:
    service = make_service(settings.model_copy(update={"max_images": 2, "max_send_bytes": 10_000}))
    service.warm_up()
    with grpc.insecure_channel(service.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        many = call_error(stub.ModelInfer, raw_tensors(np.zeros((3, 3, 32, 32), np.float32)))
        two = np.zeros((2, 3, 32, 32), np.float32)
        large = call_error(
            stub.ModelInfer, raw_tensors(two, outputs=requested_outputs("logits", "conv1", "relu1"))
        )
        fits = stub.ModelInfer(raw_tensors(two, outputs=requested_outputs("logits", "conv1")))

    assert (many.code, many.field) == (EXHAUSTED, "inputs[0].shape")
    assert "3 images; allowed: at most 2 per request" in many.message
    assert (large.code, large.field) == (EXHAUSTED, "outputs")
    assert "the outputs take 18,848 bytes; the limit of a response is 10,000" in large.message
    assert sum(map(len, fits.raw_output_contents)) == 2 * 4 * (4 + 6 * 14 * 14)


def test_malformed_bytes_are_an_invalid_argument(channel: grpc.Channel) -> None:
    for method in ("ServerLive", "ModelInfer"):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(b"\xff\xff\xff", timeout=30)
        assert caught.value.code() is INVALID
