"""GRPCInferenceService: inference by models."""

import threading
import time
from collections.abc import Callable

import grpc
import numpy as np
import pytest
import torch

from tests.server.conftest import RunningService
from tests.server.oip.messages import (
    Request,
    network_scores,
    raw_outputs,
    raw_photos,
    raw_tensors,
    requested_outputs,
    typed_photos,
    typed_tensors,
    unpack,
)
from tests.support.numeric import assert_close
from zfscope.client import Client
from zfscope.engine.trace import trace
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.runtimes.onnx.runtime import OnnxRuntime
from zfscope.store import Model


def test_scores_match_the_network_in_process(
    stub: GRPCInferenceServiceStub, model: Model, pixels: np.ndarray
) -> None:
    answer = stub.ModelInfer(raw_tensors(pixels, model_name="tiny", id="7"))

    assert (answer.model_name, answer.model_version, answer.id) == ("tiny", "2", "7")
    scores = raw_outputs(answer)
    assert list(scores) == ["logits"]
    assert_close(scores["logits"], network_scores(model, pixels))


def test_a_request_can_have_more_images_than_fit_in_a_pass(
    stub: GRPCInferenceServiceStub, model: Model
) -> None:
    many = np.random.default_rng(5).normal(0, 1, (37, 3, 32, 32)).astype(np.float32)

    answer = stub.ModelInfer(raw_tensors(many, outputs=requested_outputs("logits", "relu1")))

    assert_close(raw_outputs(answer)["logits"], network_scores(model, many))
    assert raw_outputs(answer)["relu1"].shape == (37, 6, 14, 14)


def test_typed_contents_are_answered_with_typed_contents_of_the_same_values(
    stub: GRPCInferenceServiceStub, pixels: np.ndarray
) -> None:
    names = requested_outputs("logits", "conv1")
    raw = raw_outputs(stub.ModelInfer(raw_tensors(pixels, outputs=names)))

    answer = stub.ModelInfer(typed_tensors(pixels, outputs=names))

    assert not answer.raw_output_contents
    for output in answer.outputs:
        values = np.array(output.contents.fp32_contents, np.float32).reshape(output.shape)
        np.testing.assert_array_equal(values, raw[output.name])


def test_outputs_are_in_the_requested_order(
    stub: GRPCInferenceServiceStub, model: Model, pixels: np.ndarray
) -> None:
    answer = stub.ModelInfer(
        raw_tensors(pixels, outputs=requested_outputs("relu5", "probabilities", "logits", "fc6"))
    )

    outputs = raw_outputs(answer)
    assert list(outputs) == ["relu5", "probabilities", "logits", "fc6"]
    exponentials = np.exp(outputs["logits"])
    np.testing.assert_allclose(
        outputs["probabilities"], exponentials / exponentials.sum(1, keepdims=True), atol=1e-6
    )
    assert_close(outputs["fc6"], outputs["logits"])
    traced = trace(model.network, torch.from_numpy(pixels)).outputs["relu5"].numpy()
    assert_close(outputs["relu5"], traced)


def test_requests_share_a_pass_and_a_cancelled_one_does_not_affect_others(
    cold_service: RunningService, model: Model, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold_service.warm_up()
    forward, started, released, batch_sizes = OnnxRuntime.forward, threading.Event(), threading.Event(), []

    def blocked_forward(runtime: OnnxRuntime, images: np.ndarray) -> np.ndarray:
        batch_sizes.append(len(images))
        started.set()
        assert released.wait(timeout=30)
        return forward(runtime, images)

    def wait_for(images: int) -> None:
        (queue,) = cold_service.service._backend.batcher._queues.values()
        while queue.length != images:
            time.sleep(0.01)

    monkeypatch.setattr(OnnxRuntime, "forward", blocked_forward)
    with grpc.insecure_channel(cold_service.address) as channel:
        infer = GRPCInferenceServiceStub(channel).ModelInfer
        first = infer.future(raw_tensors(pixels[:1]), timeout=30)
        assert started.wait(timeout=30)
        both = infer.future(raw_tensors(pixels[1:]), timeout=30)
        wait_for(2)
        cancelled = infer.future(raw_tensors(pixels), timeout=30)
        wait_for(5)
        cancelled.cancel()
        wait_for(2)
        last = infer.future(raw_tensors(pixels[:1]), timeout=30)
        wait_for(3)
        released.set()
        results = [raw_outputs(call.result())["logits"] for call in (first, both, last)]

    assert batch_sizes == [1, 3]
    expected = network_scores(model, pixels)
    for scores, expected_scores in zip(results, (expected[:1], expected[1:], expected[:1]), strict=True):
        assert_close(scores, expected_scores)


@pytest.mark.parametrize("send", [raw_photos, typed_photos])
def test_photos_are_classified_as_by_classify(
    stub: GRPCInferenceServiceStub, client: Client, photo: bytes, send: Callable[..., Request]
) -> None:
    expected = {score.index: score.logit for score in client.classify(photo).classes}

    answer = stub.ModelInfer(send(photo, photo))

    (output,) = answer.outputs
    rows = (
        np.frombuffer(answer.raw_output_contents[0], "<f4")
        if answer.raw_output_contents
        else np.array(output.contents.fp32_contents)
    ).reshape(output.shape)
    assert rows.shape == (2, 4)
    for row in rows:
        assert_close(row, [expected[index] for index in range(4)])


def test_a_batch_of_photos_can_have_a_trailing_axis(stub: GRPCInferenceServiceStub, photo: bytes) -> None:
    flat, deep = (stub.ModelInfer(raw_photos(photo, photo, shape=shape)) for shape in ((2,), (2, 1)))

    assert flat.raw_output_contents == deep.raw_output_contents


@pytest.mark.parametrize("send", [raw_tensors, typed_tensors])
def test_the_likeliest_classes_are_returned_as_text(
    stub: GRPCInferenceServiceStub,
    model: Model,
    pixels: np.ndarray,
    send: Callable[..., Request],
) -> None:
    scores = network_scores(model, pixels)

    answer = stub.ModelInfer(send(pixels, outputs=requested_outputs("logits", classes=2)))

    (output,) = answer.outputs
    assert (output.name, output.datatype, output.shape) == ("logits", "BYTES", [3, 2])
    raw = answer.raw_output_contents
    texts = unpack(raw[0]) if raw else list(output.contents.bytes_contents)
    classes = [text.decode().split(":") for text in texts]
    order = np.argsort(-scores, axis=1)[:, :2].ravel()
    assert [int(index) for _, index, _ in classes] == list(order)
    assert [label for *_, label in classes] == [model.labels[index].name for index in order]
    expected = np.take_along_axis(scores, order.reshape(3, 2), axis=1).ravel()
    assert [float(value) for value, *_ in classes] == pytest.approx(list(expected), abs=1e-4)


def test_requesting_too_many_classes_returns_all(stub: GRPCInferenceServiceStub, pixels: np.ndarray) -> None:
    answer = stub.ModelInfer(raw_tensors(pixels, outputs=requested_outputs("probabilities", classes=1000)))

    assert answer.outputs[0].shape == [3, 4]


def test_scheduling_parameters_are_ignored(stub: GRPCInferenceServiceStub, pixels: np.ndarray) -> None:
    hints = {
        "priority": pb.InferParameter(uint64_param=1),
        "timeout": pb.InferParameter(int64_param=1),
    }

    answer = stub.ModelInfer(raw_tensors(pixels, parameters=hints))

    assert answer == stub.ModelInfer(raw_tensors(pixels))
