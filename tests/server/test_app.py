"""Startup, readiness, reflection and shutdown of the service."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from zfscope.analysis import call as orchestration
from zfscope.client import Client
from zfscope.errors import InputError, NotFound
from zfscope.server.app import SERVICES, Service
from zfscope.server.interceptors.calls import CallInterceptor
from zfscope.server.lifecycle import shutdown
from zfscope.server.services import classification
from zfscope.server.settings import Settings
from zfscope.v1 import classification_pb2, image_pb2, model_pb2
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub
from zfscope.v1.model_pb2_grpc import ModelServiceStub

ZFSCOPE_SERVICES = {
    "zfscope.v1.ModelService",
    "zfscope.v1.ClassificationService",
    "zfscope.v1.AnalysisService",
    "inference.GRPCInferenceService",
}
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def check(address: str, service: str = "") -> int:
    with grpc.insecure_channel(address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=10
        )
    return answer.status


def list_models_error(address: str) -> grpc.RpcError:
    """Call ListModels, which must fail, and return its error."""
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest(), timeout=30)
    return caught.value


class BlockedCall:
    """Wraps a function so that it blocks until it is released."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.started, self.released, self._function = threading.Event(), threading.Event(), function

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.started.set()
        assert self.released.wait(timeout=30)
        return self._function(*args, **options)


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> BlockedCall:
    """Make every classification block until it is released."""
    blocked = BlockedCall(classification.prepare_request)
    monkeypatch.setattr(classification, "prepare_request", blocked)
    return blocked


@pytest.fixture
def classify(photo: bytes) -> Callable[[str], classification_pb2.ClassifyResponse]:
    """Return a function that classifies a photo over a plain channel."""

    def classify(address: str) -> classification_pb2.ClassifyResponse:
        request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=photo))
        with grpc.insecure_channel(address) as channel:
            return ClassificationServiceStub(channel).Classify(request, timeout=30)

    return classify


@pytest.mark.parametrize("name", ["", *SERVICES])
def test_health_is_not_serving_until_the_model_is_warm(cold_service: Any, name: str) -> None:
    assert check(cold_service.address, name) == NOT_SERVING

    title = cold_service.warm_up()

    assert title == "model 'tiny' version 2"
    assert check(cold_service.address, name) == SERVING


def test_a_call_before_the_model_is_warm_is_rejected_with_advice_to_retry(cold_service: Any) -> None:
    error = list_models_error(cold_service.address)

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.details() == "the service is still loading its model; try again in a moment"


def test_port_0_binds_a_free_port_and_reports_it(service: Any) -> None:
    host, port = service.address.split(":")

    assert host == "127.0.0.1"
    assert int(port) > 0


async def test_a_port_in_use_is_an_error_at_startup(service: Any, settings: Settings) -> None:
    second = Service(settings.model_copy(update={"listen": service.address}))

    with pytest.raises(InputError, match=f"cannot listen on {service.address}: it is in use") as caught:
        await second.start()

    assert caught.value.field == "listen"


def test_an_unknown_default_model_is_an_error_at_startup(settings: Settings) -> None:
    with pytest.raises(NotFound, match="model 'huge' not found"):
        Service(settings.model_copy(update={"default_model": "huge"}))


def test_reflection_lists_every_service_and_its_methods(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)

    assert set(database.get_services()) == {
        *ZFSCOPE_SERVICES,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    proto = database.FindFileContainingSymbol("zfscope.v1.AnalysisService")
    assert [method.name for service in proto.service for method in service.method] == [
        "ListAnalyzers",
        "Analyze",
        "Project",
        "Activations",
        "Occlude",
        "MeasureInvariance",
        "Correspond",
        "MeasureFaithfulness",
        "CompareArchitectures",
        "TopK",
        "Evolve",
        "GetIndexedPhoto",
    ]
    tensor = database.FindFileContainingSymbol("inference.ModelInferRequest.InferInputTensor")
    assert (tensor.package, tensor.syntax) == ("inference", "proto3")
    assert database.FindFileContainingSymbol("google.protobuf.Struct").package == "google.protobuf"


def test_a_shutdown_reports_not_serving_before_it_rejects_calls(
    cold_service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lame_duck_over = asyncio.Event()

    async def sleep(lame_duck_s: float) -> None:
        assert lame_duck_s == 3
        await lame_duck_over.wait()

    cold_service.warm_up()
    monkeypatch.setattr(shutdown, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    stopping = cold_service.submit(cold_service.service.stop(lame_duck_s=3))
    while check(cold_service.address) == SERVING:
        pass

    with Client(cold_service.address) as client:
        assert client.models()  # still answered during the lame duck phase

    cold_service.loop.call_soon_threadsafe(lame_duck_over.set)
    stopping.result(timeout=60)


def test_a_shutdown_completes_running_calls_and_refuses_new_ones(
    cold_service: Any, blocked: BlockedCall, classify: Callable[[str], Any]
) -> None:
    cold_service.warm_up()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(classify, cold_service.address)
        assert blocked.started.wait(timeout=30)
        stopping = cold_service.submit(cold_service.service.stop())
        while (error := list_models_error(cold_service.address)).details() is None:
            pass

        # A call that arrives just when connections begin to be refused is reset.
        assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        blocked.released.set()
        assert running.result(timeout=30).model == "tiny"
        stopping.result(timeout=30)


def test_a_shutdown_completes_a_running_analysis(
    cold_service: Any, monkeypatch: pytest.MonkeyPatch, photo: bytes
) -> None:
    blocked = BlockedCall(orchestration.run)
    monkeypatch.setattr(orchestration, "run", blocked)
    cold_service.warm_up()
    with Client(cold_service.address) as client, ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.analyze, "project", [photo], {"layer": "conv5", "top": 1})
        assert blocked.started.wait(timeout=30)
        stopping = cold_service.submit(cold_service.service.stop())
        while list_models_error(cold_service.address).details() is None:
            pass
        blocked.released.set()

        assert running.result(timeout=30).analysis.pictures
        stopping.result(timeout=30)


def test_a_shutdown_rejects_a_request_still_being_received(
    cold_service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold_service.warm_up()
    intercepted, last_byte = threading.Event(), threading.Event()
    intercept = CallInterceptor.intercept_service

    def intercept_and_record(interceptor: CallInterceptor, *arguments: Any) -> Any:
        intercepted.set()
        return intercept(interceptor, *arguments)

    def request() -> Iterator[bytes]:
        last_byte.wait(timeout=60)
        yield b""

    monkeypatch.setattr(CallInterceptor, "intercept_service", intercept_and_record)
    monkeypatch.setattr(
        shutdown, "LATE_CALLS_S", 60
    )  # calls still being received are cut off after this time

    with grpc.insecure_channel(cold_service.address) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        call = channel.stream_unary("/zfscope.v1.ModelService/ListModels").future(request(), timeout=30)
        assert intercepted.wait(timeout=60)
        stopping = cold_service.submit(cold_service.service.stop())
        while list_models_error(cold_service.address).details() is None:
            pass
        last_byte.set()

        error = call.exception(timeout=30)
        assert (error.code(), error.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            "the service is shutting down; try another replica",
        )
        stopping.result(timeout=30)


def test_a_shutdown_fails_calls_that_exceed_the_grace_time(
    settings: Settings,
    blocked: BlockedCall,
    classify: Callable[[str], Any],
    make_service: Callable[..., Any],
    capfd: pytest.CaptureFixture[str],
) -> None:
    impatient_service = make_service(settings.model_copy(update={"grace_s": 0.1}))
    impatient_service.warm_up()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(classify, impatient_service.address)
        assert blocked.started.wait(timeout=30)
        stopping = impatient_service.submit(impatient_service.service.stop())

        with pytest.raises(grpc.RpcError) as cut_off:
            running.result(timeout=30)
        assert cut_off.value.code() is grpc.StatusCode.UNAVAILABLE
        assert cut_off.value.details() == (
            "the service is shutting down, and the call did not finish within the grace time of 0.1 s; "
            "send it again"
        )
        blocked.released.set()
        stopping.result(timeout=30)
    log = capfd.readouterr().out
    assert "requests aborted" in log
    assert re.search(r"stopped +.*cut_off.*1", log)


def test_an_open_health_watch_does_not_delay_shutdown(cold_service: Any) -> None:
    with grpc.insecure_channel(cold_service.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == NOT_SERVING

        stopping = cold_service.submit(cold_service.service.stop())

        assert list(watch) == []  # ended normally, not cut off
        stopping.result(timeout=30)
