"""Metrics as scraped by Prometheus."""

import http.client
import socket
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from tests.server.conftest import RunningService
from zfscope.client import Client
from zfscope.errors import InputError, NotFound
from zfscope.server.app import Service
from zfscope.server.protos import METHODS_BY_PATH
from zfscope.server.settings import Settings
from zfscope.v1 import classification_pb2

CLASSIFY = {"grpc_service": "zfscope.v1.ClassificationService", "grpc_method": "Classify"}


def scrape_text(service: RunningService) -> str:
    host, port = service.service.metrics_address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    assert response.status == 200
    text = response.read().decode()
    connection.close()
    return text


class Scrape:
    """The samples of one scrape."""

    def __init__(self, service: RunningService) -> None:
        families = text_string_to_metric_families(scrape_text(service))
        self.samples = [sample for family in families for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all samples with these labels."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, *names: str) -> set[str]:
        """Return all values of the named labels."""
        return {sample.labels[name] for sample in self.samples for name in names if name in sample.labels}


def scrape_when_idle(service: RunningService) -> Scrape:
    """Scrape after all calls have ended. A response may arrive just before its call is counted."""
    deadline = time.monotonic() + 60
    while True:
        scrape = Scrape(service)
        started, handled = (scrape.total(f"grpc_server_{state}_total") for state in ("started", "handled"))
        if started == handled:
            return scrape
        assert time.monotonic() < deadline, f"{started} calls started and {handled} ended"


@pytest.fixture
def metrics_service(settings: Settings, make_service: Callable[[Settings], RunningService]) -> RunningService:
    """A warm service that exposes metrics on a free port."""
    service = make_service(settings.model_copy(update={"metrics_listen": "127.0.0.1:0"}))
    service.warm_up()
    return service


def test_calls_are_counted_and_timed_by_method_and_code(
    metrics_service: RunningService, photo: bytes
) -> None:
    with Client(metrics_service.address) as client:
        for _ in range(3):
            client.classify(photo)
        with pytest.raises(NotFound):
            client.classify(photo, model="huge")

    metrics = scrape_when_idle(metrics_service)

    unary = {"grpc_type": "unary", **CLASSIFY}
    assert metrics.total("grpc_server_started_total", **unary) == 4
    assert metrics.total("grpc_server_handled_total", grpc_code="OK", **unary) == 3
    assert metrics.total("grpc_server_handled_total", grpc_code="NOT_FOUND", **unary) == 1
    assert metrics.total("grpc_server_handling_seconds_count", **unary) == 4
    assert metrics.total("grpc_server_handling_seconds_bucket", le="+Inf", **unary) == 4
    assert 0 < metrics.total("grpc_server_handling_seconds_sum", **unary) < 60


def test_a_stream_is_counted_once(metrics_service: RunningService, photo: bytes) -> None:
    with Client(metrics_service.address) as client:
        client.analyze("project", [photo])

    analyze = {"grpc_type": "server_stream", "grpc_method": "Analyze"}
    metrics = scrape_when_idle(metrics_service)
    assert metrics.total("grpc_server_handled_total", grpc_code="OK", **analyze) == 1


def test_failures_are_counted_by_reason(metrics_service: RunningService, photo: bytes) -> None:
    with Client(metrics_service.address) as client:
        for _ in range(2):
            with pytest.raises(InputError):
                client.classify(b"no photo")
        with pytest.raises(NotFound):
            client.project(photo, layer="conv9")

    metrics = scrape_when_idle(metrics_service)

    assert metrics.total("zfscope_failures_total", reason="INPUT_ERROR", **CLASSIFY) == 2
    assert metrics.total("zfscope_failures_total", reason="NOT_FOUND", grpc_method="Project") == 1
    assert metrics.total("zfscope_failures_total") == 3


def test_passes_and_batches_are_counted_by_model(metrics_service: RunningService, photo: bytes) -> None:
    before = scrape_when_idle(metrics_service)
    with Client(metrics_service.address) as client:
        client.classify(photo, ten_crop=True)
        client.classify(photo, model="other")
    after = scrape_when_idle(metrics_service)

    def increase(name: str, **labels: str) -> float:
        return after.total(name, **labels) - before.total(name, **labels)

    assert increase("zfscope_forward_passes_total", model="tiny", version="2") == 10
    assert increase("zfscope_forward_passes_total", model="other", version="1") == 1
    assert increase("zfscope_batch_size_sum", model="tiny") == 10
    assert increase("zfscope_batch_size_count", model="tiny") == increase(
        "zfscope_forward_seconds_count", model="tiny"
    )
    assert increase("zfscope_queue_seconds_count", queue="readers") == 2
    assert increase("zfscope_queue_seconds_count", queue="batches") == 11


def test_passes_of_analyses_are_counted(metrics_service: RunningService, photo: bytes) -> None:
    before = scrape_when_idle(metrics_service)
    with Client(metrics_service.address) as client:
        client.measure_invariance([photo], layers=["conv1"], transformations=["scale"])
    after = scrape_when_idle(metrics_service)

    passes = after.total("zfscope_forward_passes_total") - before.total("zfscope_forward_passes_total")
    assert passes > 2
    assert after.total("zfscope_queue_seconds_count", queue="workers") == 1


def test_abandoned_calls_are_counted_as_cancelled_or_deadline_exceeded(
    metrics_service: RunningService, photo: bytes
) -> None:
    with grpc.insecure_channel(metrics_service.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        call = watch(health_pb2.HealthCheckRequest())
        next(call)
        call.cancel()
        with pytest.raises(grpc.RpcError):
            list(watch(health_pb2.HealthCheckRequest(), timeout=1))

    metrics = scrape_when_idle(metrics_service)
    method = {"grpc_method": "Watch", "grpc_type": "server_stream"}
    assert metrics.total("grpc_server_handled_total", grpc_code="CANCELLED", **method) == 1
    assert metrics.total("grpc_server_handled_total", grpc_code="DEADLINE_EXCEEDED", **method) == 1


def test_text_from_callers_never_becomes_a_label(
    settings: Settings, make_service: Callable[[Settings], RunningService], photo: bytes
) -> None:
    changes = {"metrics_listen": "127.0.0.1:0", "token": SecretStr("a-token-that-is-long-enough")}
    service = make_service(settings.model_copy(update=changes))
    service.warm_up()
    classify = "/zfscope.v1.ClassificationService/Classify"
    token = (("authorization", "Bearer a-token-that-is-long-enough"),)
    with grpc.insecure_channel(service.address) as channel:
        for metadata in (token, ()):
            for number in range(20):
                request = classification_pb2.ClassifyRequest(model=f"secret-{number}").SerializeToString()
                for method in (f"/zfscope.v1.Secret{number}/Guess", f"/a{number}/b", classify):
                    with pytest.raises(grpc.RpcError):
                        channel.unary_unary(method)(request, metadata=metadata)

    metrics = scrape_when_idle(service)

    known = {method.service for method in METHODS_BY_PATH.values()} | {"unknown"}
    assert metrics.labels("grpc_service") <= known
    assert metrics.labels("grpc_method") <= {method.name for method in METHODS_BY_PATH.values()} | {"unknown"}
    assert metrics.labels("model") == {"tiny"}
    assert "ecret" not in scrape_text(service)
    assert metrics.total("grpc_server_started_total", grpc_service="unknown") == 40  # without the token
    assert metrics.total("zfscope_failures_total", reason="UNAUTHENTICATED") == 60
    assert metrics.total("grpc_server_handled_total", grpc_code="UNAUTHENTICATED", grpc_type="unary") == 20


def test_every_method_has_metrics_before_its_first_call(metrics_service: RunningService) -> None:
    metrics = scrape_when_idle(metrics_service)

    started = {
        (sample.labels["grpc_service"], sample.labels["grpc_method"])
        for sample in metrics.samples
        if sample.name == "grpc_server_started_total"
    }
    assert started == {(method.service, method.name) for method in METHODS_BY_PATH.values()}
    assert metrics.total("process_resident_memory_bytes") > 0


def test_metrics_are_off_without_an_address(service: RunningService) -> None:
    assert service.service.metrics_address == ""


async def test_a_port_in_use_is_an_error_at_startup(settings: Settings) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listen = f"127.0.0.1:{listener.getsockname()[1]}"
        service = Service(settings.model_copy(update={"metrics_listen": listen}))
        with pytest.raises(
            InputError, match=f"cannot serve metrics on {listen}: Address already in use"
        ) as caught:
            await service.start()
    assert caught.value.field == "metrics_listen"
    await service.stop()


def test_the_port_is_released_on_stop(
    settings: Settings, make_service: Callable[[Settings], RunningService]
) -> None:
    service = make_service(settings.model_copy(update={"metrics_listen": "127.0.0.1:0"}))
    host, port = service.service.metrics_address.split(":")
    service.call(service.service.stop())

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((host, int(port)))


def test_a_starting_service_prints_the_address_of_its_metrics(start: Callable[..., Any]) -> None:
    process = start(metrics_listen="127.0.0.1:0")

    listens, metrics = process.stdout.readline(), process.stdout.readline()

    assert listens.startswith("zfscope listens on ")
    assert metrics.startswith("metrics available at http://127.0.0.1:")
    assert metrics.endswith("/metrics\n")
