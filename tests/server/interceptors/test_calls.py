"""Request ids in responses and in the log."""

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import structlog
from pydantic import SecretStr

from tests.server.conftest import RunningService
from zfscope.inference import inference_pb2
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.server.interceptors.calls import request_id_of
from zfscope.server.oip import describe
from zfscope.server.settings import Settings
from zfscope.v1 import analysis_pb2, model_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub
from zfscope.v1.model_pb2_grpc import ModelServiceStub


def request_ids(call: Any) -> list[str]:
    return [value for key, value in call.trailing_metadata() if key == "x-request-id"]


def test_a_response_has_the_request_id_of_the_caller(channel: grpc.Channel) -> None:
    sent = (("x-request-id", "job-17.a_B"),)

    _, call = ModelServiceStub(channel).ListModels.with_call(model_pb2.ListModelsRequest(), metadata=sent)

    assert request_ids(call) == ["job-17.a_B"]


def test_a_call_without_a_request_id_gets_a_new_one(channel: grpc.Channel) -> None:
    list_models = ModelServiceStub(channel).ListModels.with_call
    ids = [request_ids(list_models(model_pb2.ListModelsRequest())[1]) for _ in range(2)]

    assert ids[0] != ids[1]
    assert all(len(values) == 1 and len(values[0]) == 16 for values in ids)


def test_an_error_has_the_request_id(channel: grpc.Channel) -> None:
    request = model_pb2.GetModelRequest(model="huge")

    with pytest.raises(grpc.RpcError) as caught:
        ModelServiceStub(channel).GetModel(request, metadata=(("x-request-id", "mine"),))

    assert request_ids(caught.value) == ["mine"]
    assert any(b"mine" in value for key, value in caught.value.trailing_metadata() if key.endswith("-bin"))


def test_a_stream_has_the_request_id_in_its_trailing_metadata(channel: grpc.Channel, photo: bytes) -> None:
    request = analysis_pb2.AnalyzeRequest(analyzer="project")
    request.images.add(encoded=photo)
    call = AnalysisServiceStub(channel).Analyze(request, metadata=(("x-request-id", "mine"),))

    assert list(call)
    assert request_ids(call) == ["mine"]


@pytest.mark.parametrize("unsafe", ["", "a b", "x" * 65, '{"a":1}', "a/b", "é"])
def test_an_unsafe_request_id_is_replaced(unsafe: str) -> None:
    request_id = request_id_of((("x-request-id", unsafe),))

    assert request_id != unsafe
    assert len(request_id) == 16


def test_a_binary_request_id_is_replaced() -> None:
    assert request_id_of((("x-request-id", b"mine"),)) != b"mine"


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str], json_log: None) -> Callable[[], list[dict[str, Any]]]:
    """Return a function that returns the log lines since its last call, parsed."""
    return lambda: [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]


def test_every_log_line_of_a_call_has_its_request_id_even_from_threads(
    channel: grpc.Channel, lines: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = structlog.get_logger("test")

    def failing_metadata(*arguments: Any) -> Any:
        log.info("from a thread")
        raise RuntimeError("a fault")

    monkeypatch.setattr(describe, "metadata", failing_metadata)
    stub = GRPCInferenceServiceStub(channel)
    with pytest.raises(grpc.RpcError):
        stub.ModelMetadata(inference_pb2.ModelMetadataRequest(), metadata=(("x-request-id", "mine"),))
    stub.ServerMetadata(inference_pb2.ServerMetadataRequest(), metadata=(("x-request-id", "other"),))

    logged = lines()
    assert not any("trace_id" in line for line in logged)  # tracing is off
    events = [(line["event"], line["request_id"]) for line in logged]
    assert events == [("from a thread", "mine"), ("failed", "mine"), ("answered", "other")]


def test_probes_are_not_logged(channel: grpc.Channel, lines: Callable[[], list[dict[str, Any]]]) -> None:
    GRPCInferenceServiceStub(channel).ServerReady(inference_pb2.ServerReadyRequest())

    assert lines() == []


def test_an_unauthenticated_call_has_a_request_id(
    settings: Settings, make_service: Callable[[Settings], RunningService]
) -> None:
    service = make_service(settings.model_copy(update={"token": SecretStr("a-token-that-is-long-enough")}))
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as caught:
        ModelServiceStub(channel).ListModels(
            model_pb2.ListModelsRequest(), metadata=(("x-request-id", "mine"),)
        )

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert request_ids(caught.value) == ["mine"]
