"""Warnings about photos and tensors in the responses of every RPC and of the Open Inference Protocol."""

import io
import json
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.server.conftest import CallError
from zfscope.client import Box, Client, Notice, PixelTensor
from zfscope.images.normalise import Preprocessing, normalise
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.v1 import classification_pb2, image_pb2
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub
from zfscope.wire.tensors import tensor_to_wire

MESSAGE = (
    "the GIF file has several frames or pages, and the first was used; "
    "to use another one, save it as a separate file"
)


@pytest.fixture(scope="module")
def animation() -> bytes:
    """A GIF of two frames of 60 x 48 pixels."""
    noise = np.random.default_rng(1).integers(0, 256, (2, 48, 60, 3), np.uint8)
    first, second = (Image.fromarray(frame).quantize(64) for frame in noise)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=[second])
    return file.getvalue()


CALLS: dict[str, tuple[str, Callable[[Client, bytes], Any]]] = {
    "classify": ("image", lambda client, photo: client.classify(photo)),
    "project": ("image", lambda client, photo: client.project(photo, top=1)),
    "measure_faithfulness": (
        "images[0]",
        lambda client, photo: client.measure_faithfulness([photo], step=0.5, random=0, control=False),
    ),
    "activations": ("image", lambda client, photo: client.activations(photo, top=1)),
    "occlude": ("image", lambda client, photo: client.occlude(photo, window=32, stride=32)),
    "invariance": (
        "images[0]",
        lambda client, photo: client.measure_invariance(
            [photo], layers=["relu1"], transformations=["scale"], scales=[1]
        ),
    ),
    "compare": ("images[0]", lambda client, photo: client.compare_architectures(["tiny", "tiny:1"], [photo])),
    "analyze": ("images[0]", lambda client, photo: client.analyze("project", [photo], {"top": 1})),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_response_warns_of_assumptions_about_its_photo(client: Client, animation: bytes, call: str) -> None:
    field, make_call = CALLS[call]
    assert make_call(client, animation).warnings == (Notice("first-frame", MESSAGE, f"{field}.encoded"),)


@pytest.mark.parametrize("call", CALLS)
def test_a_response_without_assumptions_has_no_warnings(client: Client, photo: bytes, call: str) -> None:
    assert CALLS[call][1](client, photo).warnings == ()


def test_a_warning_about_several_photos_is_sent_once(client: Client, animation: bytes, photo: bytes) -> None:
    parts = {"eye": [Box(20, 15, 36, 30)] * 4}
    answer = client.correspond([animation, photo, animation, animation], parts, layers=["relu1"], random=0)
    message = f"{MESSAGE} (the same of images[2].encoded, images[3].encoded)"
    assert answer.warnings == (Notice("first-frame", message, "images[0].encoded"),)


def infer(channel: grpc.Channel, name: str, photos: list[bytes]) -> pb.ModelInferResponse:
    contents = pb.InferTensorContents(bytes_contents=photos)
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="images", datatype="BYTES", shape=[len(photos)], contents=contents
    )
    request = pb.ModelInferRequest(model_name=name, inputs=[tensor])
    answer: pb.ModelInferResponse = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
    return answer


@pytest.mark.parametrize("name", ["tiny", "tiny/project"])
def test_the_open_inference_protocol_sends_warnings_as_a_parameter(
    channel: grpc.Channel, animation: bytes, photo: bytes, name: str
) -> None:
    answer = infer(channel, name, [animation])
    (warning,) = json.loads(answer.parameters["warnings"].string_param)
    assert warning == {"code": "first-frame", "message": MESSAGE, "field": "images[0].encoded"}
    assert "warnings" not in infer(channel, name, [photo]).parameters


# The preprocessing of the model `tiny`.
STEPS = Preprocessing(short_side=36, centre=36, crop=32, std=(50, 50, 50))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(6).integers(0, 256, (3, 32, 32), np.uint8)


def test_pixels_with_a_stated_scale_are_classified_like_the_photo(client: Client, pixels: np.ndarray) -> None:
    normalised = normalise(pixels.transpose(1, 2, 0), STEPS)
    expected = [(score.index, score.logit) for score in client.classify(normalised).classes]
    for tensor in (
        PixelTensor(pixels),
        PixelTensor(pixels.astype(np.float32)),
        PixelTensor(pixels / 255, white=1),
    ):
        answer = client.classify(tensor)
        assert [score.index for score in answer.classes] == [index for index, _ in expected]
        assert [score.logit for score in answer.classes] == pytest.approx(
            [logit for _, logit in expected], abs=1e-4
        )
        assert answer.warnings == ()


def test_pixels_without_a_stated_scale_cause_a_warning(client: Client, pixels: np.ndarray) -> None:
    for array in (pixels.astype(np.float32), pixels / 255):
        for answer in (client.classify(array), client.project(array, top=1)):
            (warning,) = answer.warnings
            assert (warning.code, warning.field) == ("tensor-range", "image.tensor")


def test_a_scale_for_an_encoded_photo_is_rejected(
    channel: grpc.Channel, photo: bytes, call_error: Callable[..., CallError]
) -> None:
    image = image_pb2.Image(encoded=photo, tensor_scale=image_pb2.TENSOR_SCALE_PIXELS_255)
    stub = ClassificationServiceStub(channel)
    error = call_error(stub.Classify, classification_pb2.ClassifyRequest(image=image))
    assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "image.tensor_scale")
    assert "image.tensor_scale applies to tensors only" in error.message


def test_an_unknown_scale_is_rejected(
    channel: grpc.Channel, pixels: np.ndarray, call_error: Callable[..., CallError]
) -> None:
    image = image_pb2.Image(tensor=tensor_to_wire(pixels), tensor_scale=9)
    error = call_error(
        ClassificationServiceStub(channel).Classify, classification_pb2.ClassifyRequest(image=image)
    )
    assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "image.tensor_scale")
    assert "value 9 is not valid; allowed: TENSOR_SCALE_NORMALISED, TENSOR_SCALE_PIXELS_255," in error.message


def infer_tensor(pixels: np.ndarray, scale: str = "", name: str = "tiny") -> pb.ModelInferRequest:
    array = pixels[None].astype(np.float32)
    tensor = pb.ModelInferRequest.InferInputTensor(name="input", datatype="FP32", shape=array.shape)
    parameters = {"tensor_scale": pb.InferParameter(string_param=scale)} if scale else {}
    return pb.ModelInferRequest(
        model_name=name, inputs=[tensor], raw_input_contents=[array.tobytes()], parameters=parameters
    )


def test_the_open_inference_protocol_takes_the_scale_as_a_parameter(
    channel: grpc.Channel, client: Client, pixels: np.ndarray
) -> None:
    stub = GRPCInferenceServiceStub(channel)
    logits = {score.index: score.logit for score in client.classify(PixelTensor(pixels)).classes}
    for request in (infer_tensor(pixels, "pixels_255"), infer_tensor(pixels / 255, "pixels_1")):
        answer = stub.ModelInfer(request, timeout=60)
        scores = np.frombuffer(answer.raw_output_contents[0], "<f4")
        np.testing.assert_allclose(scores, [logits[index] for index in range(4)], atol=1e-4)
        assert "warnings" not in answer.parameters
    unstated = stub.ModelInfer(infer_tensor(pixels), timeout=60)
    (warning,) = json.loads(unstated.parameters["warnings"].string_param)
    assert (warning["code"], warning["field"]) == ("tensor-range", "input[0]")
    stated = stub.ModelInfer(infer_tensor(pixels, "pixels_255", "tiny/project"), timeout=60)
    assert "warnings" not in stated.parameters


@pytest.mark.parametrize("name", ["tiny", "tiny/project"])
def test_the_open_inference_protocol_rejects_a_scale_that_does_not_fit_the_input(
    channel: grpc.Channel, pixels: np.ndarray, photo: bytes, call_error: Callable[..., CallError], name: str
) -> None:
    stub = GRPCInferenceServiceStub(channel)
    error = call_error(stub.ModelInfer, infer_tensor(pixels, "pixels", name))
    assert (error.code, error.field) == (grpc.StatusCode.INVALID_ARGUMENT, "parameters.tensor_scale")
    assert "tensor_scale is 'pixels'; allowed: normalised, pixels_255, pixels_1" in error.message
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="images", datatype="BYTES", shape=[1], contents=pb.InferTensorContents(bytes_contents=[photo])
    )
    scale = {"tensor_scale": pb.InferParameter(string_param="pixels_1")}
    error = call_error(
        stub.ModelInfer, pb.ModelInferRequest(model_name=name, inputs=[tensor], parameters=scale)
    )
    assert error.field == "parameters.tensor_scale"
    assert "tensor_scale applies to the input 'input' only" in error.message
