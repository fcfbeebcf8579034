"""Warnings in answers: every RPC carries them, and so do the Open Inference Protocol and the analyzers."""

import io
import json
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from zfscope.client import Box, Client, Notice
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub

MESSAGE = (
    "a GIF file of several frames or pages, of which the first was used; "
    "to use another, save it as a file of its own"
)


@pytest.fixture(scope="module")
def animation() -> bytes:
    """A GIF of two frames of 60 x 48 pixels."""
    drawn = np.random.default_rng(1).integers(0, 256, (2, 48, 60, 3), np.uint8)
    first, second = (Image.fromarray(frame).quantize(64) for frame in drawn)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=[second])
    return file.getvalue()


CALLS: dict[str, tuple[str, Callable[[Client, bytes], Any]]] = {
    "classify": ("image", lambda client, photo: client.classify(photo)),
    "project": ("image", lambda client, photo: client.project(photo, top=1)),
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
def test_an_answer_says_what_was_assumed_of_its_photo(client: Client, animation: bytes, call: str) -> None:
    field, ask = CALLS[call]
    assert ask(client, animation).warnings == (Notice("first-frame", MESSAGE, f"{field}.encoded"),)


@pytest.mark.parametrize("call", CALLS)
def test_an_answer_of_which_nothing_was_assumed_has_no_warnings(
    client: Client, photo: bytes, call: str
) -> None:
    assert CALLS[call][1](client, photo).warnings == ()


def test_the_same_of_several_photos_is_said_once(client: Client, animation: bytes, photo: bytes) -> None:
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
def test_the_open_inference_protocol_has_them_as_a_parameter(
    channel: grpc.Channel, animation: bytes, photo: bytes, name: str
) -> None:
    answer = infer(channel, name, [animation])
    (warning,) = json.loads(answer.parameters["warnings"].string_param)
    assert warning == {"code": "first-frame", "message": MESSAGE, "field": "images[0].encoded"}
    assert "warnings" not in infer(channel, name, [photo]).parameters
