"""What Prometheus is told, as it scrapes it."""

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


def scrape(service: RunningService) -> str:
    host, port = service.service.metrics_address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200
    text = answer.read().decode()
    connection.close()
    return text


class Scraped:
    """What a scrape found."""

    def __init__(self, service: RunningService) -> None:
        families = text_string_to_metric_families(scrape(service))
        self.samples = [sample for family in families for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Give the sum of a metric over all labels that are not named."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, *names: str) -> set[str]:
        """Give all values of labels."""
        return {sample.labels[name] for sample in self.samples for name in names if name in sample.labels}


def scraped(service: RunningService) -> Scraped:
    """Scrape once all calls have ended: a caller may have its answer a moment before that is counted."""
    until = time.monotonic() + 60
    while True:
        found = Scraped(service)
        began, ended = (found.total(f"grpc_server_{what}_total") for what in ("started", "handled"))
        if began == ended:
            return found
        assert time.monotonic() < until, f"{began} calls began and {ended} ended"


@pytest.fixture
def watched(settings: Settings, make_service: Callable[[Settings], RunningService]) -> RunningService:
    """A warm service that exposes metrics on a free port."""
    service = make_service(settings.model_copy(update={"metrics_listen": "127.0.0.1:0"}))
    service.warm_up()
    return service


def test_calls_are_counted_and_timed_by_method_and_code(watched: RunningService, photo: bytes) -> None:
    with Client(watched.address) as client:
        for _ in range(3):
            client.classify(photo)
        with pytest.raises(NotFound):
            client.classify(photo, model="huge")

    found = scraped(watched)

    unary = {"grpc_type": "unary", **CLASSIFY}
    assert found.total("grpc_server_started_total", **unary) == 4
    assert found.total("grpc_server_handled_total", grpc_code="OK", **unary) == 3
    assert found.total("grpc_server_handled_total", grpc_code="NOT_FOUND", **unary) == 1
    assert found.total("grpc_server_handling_seconds_count", **unary) == 4
    assert found.total("grpc_server_handling_seconds_bucket", le="+Inf", **unary) == 4
    assert 0 < found.total("grpc_server_handling_seconds_sum", **unary) < 60


def test_a_stream_is_counted_once(watched: RunningService, photo: bytes) -> None:
    with Client(watched.address) as client:
        client.analyze("project", [photo])

    analyze = {"grpc_type": "server_stream", "grpc_method": "Analyze"}
    assert scraped(watched).total("grpc_server_handled_total", grpc_code="OK", **analyze) == 1


def test_failures_are_counted_by_reason(watched: RunningService, photo: bytes) -> None:
    with Client(watched.address) as client:
        for _ in range(2):
            with pytest.raises(InputError):
                client.classify(b"no photo")
        with pytest.raises(NotFound):
            client.project(photo, layer="conv9")

    found = scraped(watched)

    assert found.total("zfscope_failures_total", reason="INPUT_ERROR", **CLASSIFY) == 2
    assert found.total("zfscope_failures_total", reason="NOT_FOUND", grpc_method="Project") == 1
    assert found.total("zfscope_failures_total") == 3


def test_passes_and_batches_are_counted_by_model(watched: RunningService, photo: bytes) -> None:
    before = scraped(watched)
    with Client(watched.address) as client:
        client.classify(photo, ten_crop=True)
        client.classify(photo, model="other")
    found = scraped(watched)

    def more(name: str, **labels: str) -> float:
        return found.total(name, **labels) - before.total(name, **labels)

    assert more("zfscope_forward_passes_total", model="tiny", version="2") == 10
    assert more("zfscope_forward_passes_total", model="other", version="1") == 1
    assert more("zfscope_batch_size_sum", model="tiny") == 10
    assert more("zfscope_batch_size_count", model="tiny") == more(
        "zfscope_forward_seconds_count", model="tiny"
    )
    assert more("zfscope_queue_seconds_count", queue="readers") == 2
    assert more("zfscope_queue_seconds_count", queue="batches") == 11


def test_passes_of_analyses_are_counted(watched: RunningService, photo: bytes) -> None:
    before = scraped(watched)
    with Client(watched.address) as client:
        client.measure_invariance([photo], layers=["conv1"], transformations=["scale"])
    found = scraped(watched)

    passes = found.total("zfscope_forward_passes_total") - before.total("zfscope_forward_passes_total")
    assert passes > 2
    assert found.total("zfscope_queue_seconds_count", queue="workers") == 1


def test_abandoned_calls_are_counted_as_cancelled_or_deadline_exceeded(
    watched: RunningService, photo: bytes
) -> None:
    with grpc.insecure_channel(watched.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        call = watch(health_pb2.HealthCheckRequest())
        next(call)
        call.cancel()
        with pytest.raises(grpc.RpcError):
            list(watch(health_pb2.HealthCheckRequest(), timeout=1))

    found, wanted = scraped(watched), {"grpc_method": "Watch", "grpc_type": "server_stream"}
    assert found.total("grpc_server_handled_total", grpc_code="CANCELLED", **wanted) == 1
    assert found.total("grpc_server_handled_total", grpc_code="DEADLINE_EXCEEDED", **wanted) == 1


def test_text_from_callers_never_becomes_a_label(
    settings: Settings, make_service: Callable[[Settings], RunningService], photo: bytes
) -> None:
    changed = {"metrics_listen": "127.0.0.1:0", "token": SecretStr("a-token-that-is-long-enough")}
    service = make_service(settings.model_copy(update=changed))
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

    found = scraped(service)

    known = {method.service for method in METHODS_BY_PATH.values()} | {"unknown"}
    assert found.labels("grpc_service") <= known
    assert found.labels("grpc_method") <= {method.name for method in METHODS_BY_PATH.values()} | {"unknown"}
    assert found.labels("model") == {"tiny"}
    assert "ecret" not in scrape(service)
    assert found.total("grpc_server_started_total", grpc_service="unknown") == 40  # without the token
    assert found.total("zfscope_failures_total", reason="UNAUTHENTICATED") == 60
    assert found.total("grpc_server_handled_total", grpc_code="UNAUTHENTICATED", grpc_type="unary") == 20


def test_every_method_has_metrics_before_its_first_call(watched: RunningService) -> None:
    found = scraped(watched)

    started = {
        (sample.labels["grpc_service"], sample.labels["grpc_method"])
        for sample in found.samples
        if sample.name == "grpc_server_started_total"
    }
    assert started == {(method.service, method.name) for method in METHODS_BY_PATH.values()}
    assert found.total("process_resident_memory_bytes") > 0


def test_metrics_are_off_without_an_address(service: RunningService) -> None:
    assert service.service.metrics_address == ""


async def test_a_port_in_use_is_an_error_at_startup(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
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
