"""GRPCInferenceService over the wire: models and analyzers, as any client of the protocol reaches them."""

import asyncio
import json
import struct
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.server.conftest import Refusal, Running
from tests.support.numeric import assert_close
from zfscope.client import Client
from zfscope.engine.trace import trace
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.runtimes.onnx.runtime import OnnxRuntime
from zfscope.server.settings import Settings
from zfscope.store import Model, ModelStore

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED

Request = pb.ModelInferRequest


@pytest.fixture
def stub(channel: grpc.Channel) -> GRPCInferenceServiceStub:
    return GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def model(store: Path) -> Model:
    return ModelStore(store).load("tiny")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Three images as the network reads them."""
    return np.random.default_rng(3).normal(0, 1, (3, 3, 32, 32)).astype(np.float32)


def raw_tensors(pixels: np.ndarray, **others: Any) -> Request:
    """A request that sends tensors as bytes."""
    tensor = Request.InferInputTensor(name="input", datatype="FP32", shape=pixels.shape)
    return Request(inputs=[tensor], raw_input_contents=[pixels.tobytes()], **others)


def typed_tensors(pixels: np.ndarray, **others: Any) -> Request:
    """A request that sends tensors as a list of numbers."""
    contents = pb.InferTensorContents(fp32_contents=pixels.ravel().tolist())
    tensor = Request.InferInputTensor(name="input", datatype="FP32", shape=pixels.shape, contents=contents)
    return Request(inputs=[tensor], **others)


def packed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def raw_photos(*photos: bytes, shape: tuple[int, ...] = (), **others: Any) -> Request:
    """A request that sends files as bytes behind their lengths."""
    tensor = Request.InferInputTensor(name="images", datatype="BYTES", shape=shape or (len(photos),))
    return Request(inputs=[tensor], raw_input_contents=[packed(*photos)], **others)


def typed_photos(*photos: bytes, **others: Any) -> Request:
    """A request that sends files as a list."""
    contents = pb.InferTensorContents(bytes_contents=photos)
    tensor = Request.InferInputTensor(
        name="images", datatype="BYTES", shape=(len(photos),), contents=contents
    )
    return Request(inputs=[tensor], **others)


def wanting(*names: str, classes: int = 0) -> list[Request.InferRequestedOutputTensor]:
    outputs = [Request.InferRequestedOutputTensor(name=name) for name in names]
    for output in outputs:
        if classes:
            output.parameters["classification"].int64_param = classes
    return outputs


def unpacked(data: bytes) -> list[bytes]:
    elements = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        elements.append(data[4 : 4 + length])
        data = data[4 + length :]
    return elements


def arrays(answer: pb.ModelInferResponse) -> dict[str, np.ndarray]:
    """The outputs of FP32 that came as bytes, by name."""
    assert len(answer.raw_output_contents) == len(answer.outputs)
    assert {output.datatype for output in answer.outputs} == {"FP32"}
    return {
        output.name: np.frombuffer(data, "<f4").reshape(output.shape)
        for output, data in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


def network_scores(model: Model, pixels: np.ndarray) -> np.ndarray:
    """The class scores by torch, image by image."""
    with torch.inference_mode():
        scores: np.ndarray = torch.cat([model.network(torch.from_numpy(one[None])) for one in pixels]).numpy()
    return scores


# What there is


def test_the_process_is_live_before_it_is_ready(cold_service: Running) -> None:
    with grpc.insecure_channel(cold_service.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        live, named = pb.ServerLiveRequest(), pb.ModelReadyRequest(name="tiny")
        assert stub.ServerLive(live).live
        assert not stub.ServerReady(pb.ServerReadyRequest()).ready
        assert not stub.ModelReady(named).ready
        with pytest.raises(grpc.RpcError) as refusal:
            stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny"))
        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE

        cold_service.call(cold_service.service.warm_up())

        assert stub.ServerReady(pb.ServerReadyRequest()).ready
        assert stub.ModelReady(named).ready


def test_a_service_that_is_about_to_stop_is_not_ready_though_it_still_answers(cold_service: Running) -> None:
    cold_service.call(cold_service.service.warm_up())
    stopping = asyncio.run_coroutine_threadsafe(cold_service.service.stop(lame_duck_s=2), cold_service.loop)
    with grpc.insecure_channel(cold_service.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        while stub.ServerReady(pb.ServerReadyRequest()).ready:
            pass
        assert stub.ServerLive(pb.ServerLiveRequest()).live
        assert not stub.ModelReady(pb.ModelReadyRequest(name="tiny")).ready
        assert stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny")).name == "tiny"

    stopping.result(timeout=60)


@pytest.mark.parametrize(
    ("name", "wanted", "ready"),
    [
        ("tiny", "", True),
        ("tiny", "1", True),
        ("other", "", True),
        ("", "", True),
        ("tiny/project", "2", True),
        ("tiny", "3", False),
        ("huge", "", False),
        ("tiny/guess", "", False),
        ("tiny/project/more", "", False),
        ("../tiny", "", False),
    ],
)
def test_a_model_is_ready_when_a_request_would_find_it(
    stub: GRPCInferenceServiceStub, name: str, wanted: str, ready: bool
) -> None:
    assert stub.ModelReady(pb.ModelReadyRequest(name=name, version=wanted)).ready is ready


def test_a_damaged_model_is_not_ready(
    settings: Settings, tmp_path: Path, write_tiny: Callable[..., None], make_service: Callable[..., Running]
) -> None:
    for name in ("tiny", "other"):
        write_tiny(tmp_path, name, 1)
    (tmp_path / "other" / "1" / "weights.safetensors").write_bytes(b"nothing")
    service = make_service(settings.model_copy(update={"store": tmp_path}))
    service.call(service.service.warm_up())
    with grpc.insecure_channel(service.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ModelReady(pb.ModelReadyRequest(name="tiny")).ready
        assert not stub.ModelReady(pb.ModelReadyRequest(name="other")).ready


@pytest.mark.parametrize("bad", ["v1", "0", "-1", "1.0", "١", "9" * 5000])
def test_a_version_that_is_none_is_refused_by_every_method(
    stub: GRPCInferenceServiceStub, refused: Callable[..., Refusal], bad: str
) -> None:
    for call, request in (
        (stub.ModelReady, pb.ModelReadyRequest(name="tiny", version=bad)),
        (stub.ModelMetadata, pb.ModelMetadataRequest(name="tiny", version=bad)),
        (stub.ModelConfig, pb.ModelConfigRequest(name="tiny", version=bad)),
        (stub.ModelInfer, Request(model_name="tiny", model_version=bad)),
    ):
        refusal = refused(call, request)
        assert refusal.code is INVALID
        assert f"'{bad[:80]}' is invalid; expected an integer of at least 1" in refusal.message


def test_the_server_says_what_it_is(stub: GRPCInferenceServiceStub) -> None:
    found = stub.ServerMetadata(pb.ServerMetadataRequest())

    assert (found.name, found.version) == ("zfscope", version("zfscope"))
    assert set(found.extensions) == {"classification", "model_configuration", "parameters"}


def test_a_model_reads_images_and_gives_class_scores(stub: GRPCInferenceServiceStub) -> None:
    found = stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny"))

    assert (found.name, found.versions, found.platform) == ("tiny", ["1", "2"], "zfscope_safetensors")
    assert [(of.name, of.datatype, of.shape) for of in found.inputs] == [("input", "FP32", [-1, 3, 32, 32])]
    assert [(of.name, of.datatype, of.shape) for of in found.outputs] == [("logits", "FP32", [-1, 4])]


def test_its_configuration_says_the_same_and_what_else_may_be_asked_for(
    stub: GRPCInferenceServiceStub, settings: Settings
) -> None:
    found = stub.ModelConfig(pb.ModelConfigRequest(name="tiny", version="1")).config

    assert (found.name, found.max_batch_size) == ("tiny", settings.max_images)
    (reads,), (gives,) = found.input, found.output
    assert (reads.name, reads.data_type, reads.dims) == ("input", pb.TYPE_FP32, [3, 32, 32])
    assert reads.format == pb.ModelInput.FORMAT_NCHW
    assert (gives.name, gives.data_type, gives.dims) == ("logits", pb.TYPE_FP32, [4])
    others = found.parameters["outputs"].string_value.split(",")
    assert others[:3] == ["probabilities", "conv1", "relu1"]
    assert "project" in found.parameters["analyzers"].string_value.split(",")
    answer = stub.ModelInfer(raw_tensors(np.zeros((1, 3, 32, 32), np.float32), outputs=wanting(*others)))
    assert [output.name for output in answer.outputs] == others


def test_an_analyzer_is_a_model_that_reads_photos_and_gives_pictures(stub: GRPCInferenceServiceStub) -> None:
    found = stub.ModelMetadata(pb.ModelMetadataRequest(name="/project", version="1"))
    config = stub.ModelConfig(pb.ModelConfigRequest(name="tiny/project")).config

    assert (found.name, found.platform) == ("tiny/project", "zfscope_analyzer")
    assert [(of.name, of.datatype, of.shape) for of in found.inputs] == [("images", "BYTES", [-1])]
    assert [(of.name, of.datatype, of.shape) for of in found.outputs] == [
        ("pictures", "BYTES", [-1]),
        ("analysis", "BYTES", [1]),
    ]
    assert (config.name, config.max_batch_size) == ("tiny/project", 0)
    assert [of.data_type for of in (*config.input, *config.output)] == [pb.TYPE_STRING] * 3
    schema = json.loads(config.parameters["parameters_schema"].string_value)
    assert schema["properties"]["layer"]["default"] == "conv5"


def test_an_analyzer_that_takes_no_photos_has_no_inputs(stub: GRPCInferenceServiceStub) -> None:
    assert not stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny/top-k")).inputs
    assert not stub.ModelConfig(pb.ModelConfigRequest(name="tiny/top-k")).config.input


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("huge", "model: model 'huge' not found; available: other, tiny"),
        ("tiny/guess", "analyzer 'guess' not found; available: compare-architectures, correspond"),
    ],
)
def test_what_there_is_not_is_not_found(
    stub: GRPCInferenceServiceStub, refused: Callable[..., Refusal], name: str, told: str
) -> None:
    for call, request in (
        (stub.ModelMetadata, pb.ModelMetadataRequest(name=name)),
        (stub.ModelConfig, pb.ModelConfigRequest(name=name)),
        (stub.ModelInfer, Request(model_name=name)),
    ):
        refusal = refused(call, request)
        assert refusal.code is NOT_FOUND
        assert refusal.message.removeprefix("model: ").startswith(told.removeprefix("model: "))


# Models


def test_images_get_the_scores_that_the_network_gives(
    stub: GRPCInferenceServiceStub, model: Model, pixels: np.ndarray
) -> None:
    answer = stub.ModelInfer(raw_tensors(pixels, model_name="tiny", id="7"))

    assert (answer.model_name, answer.model_version, answer.id) == ("tiny", "2", "7")
    scores = arrays(answer)
    assert list(scores) == ["logits"]
    assert_close(scores["logits"], network_scores(model, pixels))


def test_a_request_may_send_more_images_than_go_through_the_network_at_once(
    stub: GRPCInferenceServiceStub, model: Model
) -> None:
    many = np.random.default_rng(5).normal(0, 1, (37, 3, 32, 32)).astype(np.float32)

    answer = stub.ModelInfer(raw_tensors(many, outputs=wanting("logits", "relu1")))

    assert_close(arrays(answer)["logits"], network_scores(model, many))
    assert arrays(answer)["relu1"].shape == (37, 6, 14, 14)


def test_who_sends_lists_gets_lists_of_the_same_numbers(
    stub: GRPCInferenceServiceStub, pixels: np.ndarray
) -> None:
    names = wanting("logits", "conv1")
    raw = arrays(stub.ModelInfer(raw_tensors(pixels, outputs=names)))

    answer = stub.ModelInfer(typed_tensors(pixels, outputs=names))

    assert not answer.raw_output_contents
    for output in answer.outputs:
        got = np.array(output.contents.fp32_contents, np.float32).reshape(output.shape)
        np.testing.assert_array_equal(got, raw[output.name])


def test_outputs_come_in_the_order_in_which_they_are_asked_for(
    stub: GRPCInferenceServiceStub, model: Model, pixels: np.ndarray
) -> None:
    answer = stub.ModelInfer(raw_tensors(pixels, outputs=wanting("relu5", "probabilities", "logits", "fc6")))

    found = arrays(answer)
    assert list(found) == ["relu5", "probabilities", "logits", "fc6"]
    powers = np.exp(found["logits"])
    np.testing.assert_allclose(found["probabilities"], powers / powers.sum(1, keepdims=True), atol=1e-6)
    assert_close(found["fc6"], found["logits"])
    traced = trace(model.network, torch.from_numpy(pixels)).outputs["relu5"].numpy()
    assert_close(found["relu5"], traced)


def test_requests_share_a_pass_and_one_that_is_cancelled_harms_no_other(
    cold_service: Running, model: Model, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold_service.call(cold_service.service.warm_up())
    whole, begun, released, sizes = OnnxRuntime.forward, threading.Event(), threading.Event(), []

    def held(runtime: OnnxRuntime, images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        begun.set()
        assert released.wait(timeout=30)
        return whole(runtime, images)

    def wait_for(images: int) -> None:
        (lane,) = cold_service.service._backend.batcher._lanes.values()
        while lane.waiting != images:
            time.sleep(0.01)

    monkeypatch.setattr(OnnxRuntime, "forward", held)
    with grpc.insecure_channel(cold_service.address) as channel:
        infer = GRPCInferenceServiceStub(channel).ModelInfer
        first = infer.future(raw_tensors(pixels[:1]), timeout=30)
        assert begun.wait(timeout=30)
        both = infer.future(raw_tensors(pixels[1:]), timeout=30)
        wait_for(2)
        gone = infer.future(raw_tensors(pixels), timeout=30)
        wait_for(5)
        gone.cancel()
        wait_for(2)
        last = infer.future(raw_tensors(pixels[:1]), timeout=30)
        wait_for(3)
        released.set()
        found = [arrays(call.result())["logits"] for call in (first, both, last)]

    assert sizes == [1, 3]
    expected = network_scores(model, pixels)
    for scores, wanted in zip(found, (expected[:1], expected[1:], expected[:1]), strict=True):
        assert_close(scores, wanted)


@pytest.mark.parametrize("send", [raw_photos, typed_photos])
def test_photos_are_classified_as_classify_does(
    stub: GRPCInferenceServiceStub, client: Client, photo: bytes, send: Callable[..., Request]
) -> None:
    expected = {score.index: score.logit for score in client.classify(photo).classes}

    answer = stub.ModelInfer(send(photo, photo))

    (output,) = answer.outputs
    found = (
        np.frombuffer(answer.raw_output_contents[0], "<f4")
        if answer.raw_output_contents
        else np.array(output.contents.fp32_contents)
    ).reshape(output.shape)
    assert found.shape == (2, 4)
    for row in found:
        assert_close(row, [expected[index] for index in range(4)])


def test_a_batch_of_photos_may_have_an_axis_of_its_own(stub: GRPCInferenceServiceStub, photo: bytes) -> None:
    flat, deep = (stub.ModelInfer(raw_photos(photo, photo, shape=shape)) for shape in ((2,), (2, 1)))

    assert flat.raw_output_contents == deep.raw_output_contents


@pytest.mark.parametrize("send", [raw_tensors, typed_tensors])
def test_the_likeliest_classes_come_as_text(
    stub: GRPCInferenceServiceStub,
    model: Model,
    pixels: np.ndarray,
    send: Callable[..., Request],
) -> None:
    scores = network_scores(model, pixels)

    answer = stub.ModelInfer(send(pixels, outputs=wanting("logits", classes=2)))

    (output,) = answer.outputs
    assert (output.name, output.datatype, output.shape) == ("logits", "BYTES", [3, 2])
    raw = answer.raw_output_contents
    texts = unpacked(raw[0]) if raw else list(output.contents.bytes_contents)
    told = [text.decode().split(":") for text in texts]
    order = np.argsort(-scores, axis=1)[:, :2].ravel()
    assert [int(index) for _, index, _ in told] == list(order)
    assert [label for *_, label in told] == [model.labels[index].name for index in order]
    expected = np.take_along_axis(scores, order.reshape(3, 2), axis=1).ravel()
    assert [float(value) for value, *_ in told] == pytest.approx(list(expected), abs=1e-4)


def test_more_classes_than_there_are_gives_all(stub: GRPCInferenceServiceStub, pixels: np.ndarray) -> None:
    answer = stub.ModelInfer(raw_tensors(pixels, outputs=wanting("probabilities", classes=1000)))

    assert answer.outputs[0].shape == [3, 4]


def test_what_clients_tell_a_scheduler_changes_nothing(
    stub: GRPCInferenceServiceStub, pixels: np.ndarray
) -> None:
    hints = {
        "priority": pb.InferParameter(uint64_param=1),
        "timeout": pb.InferParameter(int64_param=1),
    }

    told = stub.ModelInfer(raw_tensors(pixels, parameters=hints))

    assert told == stub.ModelInfer(raw_tensors(pixels))


def tensor(**changes: Any) -> Request.InferInputTensor:
    return Request.InferInputTensor(
        **{"name": "input", "datatype": "FP32", "shape": (1, 3, 32, 32), **changes}
    )


def sent(tensor: Request.InferInputTensor, *raw: bytes, **others: Any) -> Request:
    return Request(inputs=[tensor], raw_input_contents=raw, **others)


ONE = bytes(4 * 3 * 32 * 32)
FILES = {"name": "images", "datatype": "BYTES"}
CONTENTS = pb.InferTensorContents
BAD_REQUESTS: dict[str, tuple[Request, str, str]] = {
    "no input": (Request(), "inputs", "no images; give the input 'input' or 'images'"),
    "two inputs": (
        Request(inputs=[tensor(), tensor()], raw_input_contents=[ONE, ONE]),
        "inputs",
        "2 inputs, 'input', 'input' ...; send one, 'input' (FP32) or 'images' (BYTES)",
    ),
    "unknown input": (
        sent(tensor(name="data"), ONE),
        "inputs[0].name",
        "input 'data' not found; send 'input' (FP32)",
    ),
    "unknown type": (
        sent(tensor(datatype="FP31"), ONE),
        "inputs[0].datatype",
        "datatype 'FP31' of 'input' is invalid; expected FP32",
    ),
    "no type": (sent(tensor(datatype=""), ONE), "inputs[0].datatype", "datatype '' of 'input' is invalid"),
    "another type": (
        sent(tensor(datatype="FP64"), ONE * 2),
        "inputs[0].datatype",
        "datatype 'FP64' of 'input' is invalid; expected FP32",
    ),
    "no shape": (sent(tensor(shape=()), ONE), "inputs[0].shape", "shape [] is invalid; allowed: 1 to 8 axes"),
    "an extent of 0": (
        sent(tensor(shape=(0, 3, 32, 32)), b""),
        "inputs[0].shape",
        "shape [0, 3, 32, 32] is invalid; allowed: 1 to 8 axes, each of at least 1",
    ),
    "a negative extent": (
        sent(tensor(shape=(-1, 3, 32, -32)), ONE),
        "inputs[0].shape",
        "shape [-1, 3, 32, -32] is invalid",
    ),
    "a million axes": (
        sent(tensor(shape=[1] * 1_000_000), ONE),
        "inputs[0].shape",
        "shape [1, 1, 1, 1, 1, 1, 1, 1, ...] is invalid; allowed: 1 to 8 axes",
    ),
    "another shape": (
        sent(tensor(shape=(1, 32, 32, 3)), ONE),
        "inputs[0].shape",
        "shape [1, 32, 32, 3] of 'input' is invalid; expected [images, 3, 32, 32]",
    ),
    "no batch": (
        sent(tensor(shape=(3, 32, 32)), ONE),
        "inputs[0].shape",
        "shape [3, 32, 32] of 'input' is invalid; expected [images, 3, 32, 32]",
    ),
    "too few bytes": (
        sent(tensor(), ONE[:-1]),
        "raw_input_contents[0]",
        "12287 bytes; shape [1, 3, 32, 32] of FP32 requires 12288",
    ),
    "a product that overflows": (
        sent(tensor(shape=(1 << 62, 1 << 62, 4)), b""),
        "raw_input_contents[0]",
        "0 bytes; shape [4611686018427387904, 4611686018427387904, 4] of FP32 requires",
    ),
    "a product that overflows to what is there": (
        sent(tensor(shape=(1 << 62, 1 << 2, 3, 32)), b""),
        "raw_input_contents[0]",
        "0 bytes; shape",
    ),
    "too few numbers": (
        sent(tensor(contents=CONTENTS(fp32_contents=[1, 2, 3]))),
        "inputs[0].contents.fp32_contents",
        "3 elements; shape [1, 3, 32, 32] requires 3072",
    ),
    "numbers of another list": (
        sent(tensor(contents=CONTENTS(fp64_contents=[0.0] * 3072))),
        "inputs[0].contents",
        "fp64_contents is set; send FP32 raw or in fp32_contents",
    ),
    "nothing sent": (sent(tensor()), "inputs[0].contents", "nothing is set; send FP32 raw"),
    "sent twice": (
        sent(tensor(contents=CONTENTS(fp32_contents=[0.0] * 3072)), ONE),
        "inputs[0].contents",
        "both fp32_contents and raw contents are set",
    ),
    "raw contents of nothing": (
        Request(raw_input_contents=[ONE]),
        "raw_input_contents",
        "1 for 0 inputs; send one for each, or none",
    ),
    "too many raw contents": (sent(tensor(), ONE, ONE), "raw_input_contents", "2 for 1 inputs"),
    "not finite": (
        raw_tensors(np.full((1, 3, 32, 32), np.nan, np.float32)),
        "input[0]",
        "input[0] holds nan at channel 0",
    ),
    "shared memory": (
        sent(tensor(parameters={"shared_memory_region": pb.InferParameter(string_param="mine")})),
        "inputs[0].parameters",
        "tensors in shared memory are not supported, send their contents",
    ),
    "a length that lies": (
        sent(tensor(**FILES, shape=(1,)), b"\xff\xff\xff\xffabc"),
        "raw_input_contents[0]",
        "element 0 has 4294967295 bytes; only 3 are left",
    ),
    "a length cut off": (
        sent(tensor(**FILES, shape=(2,)), packed(b"abcde") + b"\1"),
        "raw_input_contents[0]",
        "the length of element 1 is truncated at byte 9",
    ),
    "bytes left over": (
        sent(tensor(**FILES, shape=(1,)), packed(b"abc", b"de")),
        "raw_input_contents[0]",
        "6 bytes after the last element",
    ),
    "more photos than bytes": (
        sent(tensor(**FILES, shape=(1 << 62,)), packed(b"abc")),
        "raw_input_contents[0]",
        "7 bytes; too few for 4611686018427387904 elements",
    ),
    "photos of another shape": (
        sent(tensor(**FILES, shape=(1, 2)), packed(b"abc", b"de")),
        "inputs[0].shape",
        "shape [1, 2] of 'images' is invalid; expected [photos] or [photos, 1]",
    ),
    "no photo": (
        raw_photos(b"hello, world"),
        "images[0].encoded",
        "images[0].encoded is not an image",
    ),
    "an output twice": (
        sent(tensor(), ONE, outputs=wanting("logits", "logits")),
        "outputs[1].name",
        "'logits' is requested twice",
    ),
    "classes of a layer": (
        sent(tensor(), ONE, outputs=wanting("conv1", classes=3)),
        "outputs[0].parameters",
        "'conv1' has no classes; request those of logits or probabilities",
    ),
    "no classes": (
        sent(tensor(), ONE, outputs=wanting("logits", classes=-1)),
        "outputs[0].parameters.classification",
        "classification must be an integer of at least 1",
    ),
    "a parameter": (
        sent(tensor(), ONE, parameters={"layer": pb.InferParameter(string_param="conv5")}),
        "parameters",
        "unknown parameter 'layer'; available for models: tensor_scale",
    ),
}


@pytest.mark.parametrize("bad", BAD_REQUESTS)
def test_a_bad_request_is_an_invalid_argument_and_the_next_call_works(
    stub: GRPCInferenceServiceStub, refused: Callable[..., Refusal], pixels: np.ndarray, bad: str
) -> None:
    request, field, told = BAD_REQUESTS[bad]

    refusal = refused(stub.ModelInfer, request)

    assert (refusal.code, refusal.field) == (INVALID, field)
    assert told in refusal.message
    assert stub.ModelInfer(raw_tensors(pixels)).outputs


def test_an_output_that_there_is_not_is_told_with_those_there_are(
    stub: GRPCInferenceServiceStub, refused: Callable[..., Refusal], pixels: np.ndarray
) -> None:
    refusal = refused(stub.ModelInfer, raw_tensors(pixels, outputs=wanting("logits", "conv9")))

    assert (refusal.code, refusal.field) == (NOT_FOUND, "outputs[1].name")
    assert "output 'conv9' not found; available: logits, probabilities, conv1, relu1" in refusal.message


def test_limits_hold_before_anything_is_computed(
    settings: Settings, make_service: Callable[..., Running], refused: Callable[..., Refusal]
) -> None:
    service = make_service(settings.model_copy(update={"max_images": 2, "max_send_bytes": 10_000}))
    service.call(service.service.warm_up())
    with grpc.insecure_channel(service.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        many = refused(stub.ModelInfer, raw_tensors(np.zeros((3, 3, 32, 32), np.float32)))
        two = np.zeros((2, 3, 32, 32), np.float32)
        large = refused(stub.ModelInfer, raw_tensors(two, outputs=wanting("logits", "conv1", "relu1")))
        fits = stub.ModelInfer(raw_tensors(two, outputs=wanting("logits", "conv1")))

    assert (many.code, many.field) == (EXHAUSTED, "inputs[0].shape")
    assert "3 images; one request may send 2" in many.message
    assert (large.code, large.field) == (EXHAUSTED, "outputs")
    assert "the outputs take 18,848 bytes; the limit of a response is 10,000" in large.message
    assert sum(map(len, fits.raw_output_contents)) == 2 * 4 * (4 + 6 * 14 * 14)


def test_bytes_that_are_no_request_are_the_caller_s_fault(channel: grpc.Channel) -> None:
    for method in ("ServerLive", "ModelInfer"):
        with pytest.raises(grpc.RpcError) as failure:
            channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(b"\xff\xff\xff", timeout=30)
        assert failure.value.code() is INVALID


# Analyzers


def parameters(**values: Any) -> dict[str, pb.InferParameter]:
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    return {name: pb.InferParameter(**{kinds[type(value)]: value}) for name, value in values.items()}


@pytest.mark.parametrize("send", [raw_photos, typed_photos])
def test_an_analyzer_gives_what_analyze_gives(
    stub: GRPCInferenceServiceStub, client: Client, photo: bytes, send: Callable[..., Request]
) -> None:
    expected = client.analyze(
        "project", [photo], {"layer": "conv5", "top": 2, "control": True}, tensors=True
    ).analysis

    answer = stub.ModelInfer(
        send(
            photo,
            model_name="tiny/project",
            id="a",
            parameters=parameters(layer="conv5", top=2, control=True),
            outputs=wanting("pictures", "projections", "analysis"),
        )
    )

    assert (answer.model_name, answer.model_version, answer.id) == ("tiny/project", "2", "a")
    if answer.raw_output_contents:
        pictures, tensor, words = answer.raw_output_contents
        found = unpacked(pictures), np.frombuffer(tensor, "<f4"), unpacked(words)
    else:
        first, second, third = (output.contents for output in answer.outputs)
        found = list(first.bytes_contents), np.array(second.fp32_contents), list(third.bytes_contents)
    assert found[0] == [picture.png for picture in expected.pictures]
    assert answer.outputs[0].shape == [len(expected.pictures)]
    assert answer.outputs[1].shape == list(expected.tensors["projections"].shape)
    np.testing.assert_array_equal(found[1], expected.tensors["projections"].ravel())
    told = json.loads(found[2][0])
    assert told["tables"]["projections"]["columns"] == list(expected.tables["projections"].columns)
    assert told["tables"]["projections"]["rows"] == [list(row) for row in expected.tables["projections"].rows]
    assert told["numbers"] == expected.numbers
    assert told["pictures"] == [{"name": of.name, "scale": of.scale} for of in expected.pictures]
    assert set(told["tensors"]) == set(expected.tensors)


def test_pictures_and_the_rest_as_json_come_unasked(stub: GRPCInferenceServiceStub, photo: bytes) -> None:
    answer = stub.ModelInfer(raw_photos(photo, model_name="tiny/project", parameters=parameters(top=1)))

    assert [(of.name, of.datatype) for of in answer.outputs] == [("pictures", "BYTES"), ("analysis", "BYTES")]
    assert all(png.startswith(b"\x89PNG") for png in unpacked(answer.raw_output_contents[0]))
    assert json.loads(unpacked(answer.raw_output_contents[1])[0])["tensors"] == []


def test_a_tensor_may_be_sent_to_an_analyzer_too(
    stub: GRPCInferenceServiceStub, photo: bytes, model: Model
) -> None:
    pixels = prepare(decode(photo), model.preprocessing).pixels
    asked = {"model_name": "tiny/project", "parameters": parameters(top=1), "outputs": wanting("projections")}

    seen = arrays(stub.ModelInfer(raw_tensors(pixels, **asked)))
    of_photo = arrays(stub.ModelInfer(raw_photos(photo, **asked)))

    np.testing.assert_array_equal(seen["projections"], of_photo["projections"])


def test_lists_are_json_as_text(stub: GRPCInferenceServiceStub, photo: bytes) -> None:
    units = json.dumps([{"map": 3}, {"map": 1, "y": 2, "x": 4}])

    answer = stub.ModelInfer(
        raw_photos(
            photo,
            model_name="tiny/project",
            parameters=parameters(units=units),
            outputs=wanting("analysis"),
        )
    )

    table = json.loads(unpacked(answer.raw_output_contents[0])[0])["tables"]["projections"]
    records = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [(record["map"], record["y"], record["x"]) for record in records[1:]] == [(1, 2, 4)]


@pytest.mark.parametrize(
    ("values", "field", "told"),
    [
        ({"layer": "conv9"}, "parameters.layer", "layer 'conv9' not found; available: conv1, relu1"),
        ({"lair": "conv1"}, "parameters.lair", "lair is not known; allowed are layer, "),
        ({"top": "many"}, "parameters.top", "top is 'many', which is not valid JSON"),
        ({"top": 0}, "parameters.top", "top is 0: Input should be greater than 0"),
        ({"top": float("nan")}, "parameters.top", "top is nan, which is not finite"),
        ({"units": "[" * 100_000}, "parameters.units", "which is not valid JSON"),
        ({"units": '[{"map": -1}]'}, "parameters.units[0].map", "map is -1"),
        ({"priority": 3, "timeout": 3, "rule": "guess"}, "parameters.rule", "rule is 'guess'"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(
    stub: GRPCInferenceServiceStub,
    refused: Callable[..., Refusal],
    photo: bytes,
    values: dict[str, Any],
    field: str,
    told: str,
) -> None:
    request = raw_photos(photo, model_name="tiny/project", parameters=parameters(**values))

    refusal = refused(stub.ModelInfer, request)

    assert refusal.code is (NOT_FOUND if values == {"layer": "conv9"} else INVALID)
    assert refusal.field == field
    assert told in refusal.message


def test_a_parameter_without_a_value_is_refused(
    stub: GRPCInferenceServiceStub, refused: Callable[..., Refusal], photo: bytes
) -> None:
    request = raw_photos(photo, model_name="tiny/project", parameters={"top": pb.InferParameter()})

    assert refused(stub.ModelInfer, request).message == "parameters.top: top has no value"


@pytest.mark.parametrize(
    ("request_", "code", "told"),
    [
        (Request(), INVALID, "0 photos; 'project' takes 1"),
        (raw_photos(b"", b""), INVALID, "2 photos; 'project' takes 1"),
        (raw_photos(b""), INVALID, "images[0].encoded is empty"),
        (raw_photos(b"", outputs=wanting("pictures", classes=1)), INVALID, "'pictures' has no classes"),
    ],
)
def test_an_analyzer_s_photos_and_outputs_are_checked(
    stub: GRPCInferenceServiceStub,
    refused: Callable[..., Refusal],
    request_: Request,
    code: grpc.StatusCode,
    told: str,
) -> None:
    request = Request()
    request.CopyFrom(request_)
    request.model_name = "tiny/project"

    refusal = refused(stub.ModelInfer, request)

    assert refusal.code is code
    assert told in refusal.message


def test_an_output_that_an_analysis_has_not_is_told_with_those_it_has(
    stub: GRPCInferenceServiceStub, refused: Callable[..., Refusal], photo: bytes
) -> None:
    request = raw_photos(
        photo, model_name="tiny/project", parameters=parameters(top=1), outputs=wanting("heat")
    )

    refusal = refused(stub.ModelInfer, request)

    assert (refusal.code, refusal.field) == (NOT_FOUND, "outputs[0].name")
    assert "output 'heat' not found; available: projections, pictures, analysis" in refusal.message


def test_an_analyzer_without_photos_is_asked_without_inputs(
    stub: GRPCInferenceServiceStub, refused: Callable[..., Refusal]
) -> None:
    refusal = refused(stub.ModelInfer, Request(model_name="tiny/top-k"))

    assert refusal.code is NOT_FOUND
    assert "index" in refusal.message


def test_work_beyond_the_budget_is_refused(
    settings: Settings, make_service: Callable[..., Running], photo: bytes
) -> None:
    service = make_service(settings.model_copy(update={"max_passes": 1}))
    service.call(service.service.warm_up())
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as refusal:
        GRPCInferenceServiceStub(channel).ModelInfer(raw_photos(photo, model_name="/occlude"), timeout=30)

    assert refusal.value.code() is EXHAUSTED
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(refusal.value)
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.reason == "TOO_MUCH_WORK"
