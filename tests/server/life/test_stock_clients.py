"""Stock gRPC clients of Python and Node.js: keepalive pings and retries."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.server.life.conftest import HeldCall
from tests.support.calls import analyze_request
from tests.support.service_process import ServiceProcess
from tests.support.stock_clients import NodeClient, PingConnection
from zfscope.client.retry import shipped_service_config
from zfscope.errors import NotReady, RuntimeUnavailable
from zfscope.server.services import classification
from zfscope.server.settings import Settings
from zfscope.v1 import classification_pb2, image_pb2

ANALYZE, CLASSIFY = "/zfscope.v1.AnalysisService/Analyze", "/zfscope.v1.ClassificationService/Classify"
# The service allows one ping per second.
PING_S = 1.05
# More than gRPC tolerates: it closes a connection at the third ping that comes too early.
PINGS = 5
KEEPALIVE = {
    "grpc.keepalive_time_ms": round(PING_S * 1000),
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 1,
}


@pytest.fixture(scope="module")
def node() -> NodeClient:
    return NodeClient()


def test_connections_that_ping_every_second_stay_open(
    start_process: Callable[..., ServiceProcess],
    node: NodeClient,
    held: HeldCall,
    photo: bytes,
    tmp_path: Path,
) -> None:
    service_process = start_process(keepalive_s=60)
    request = analyze_request("held", [photo], held.parameters)
    (tmp_path / "request").write_bytes(request.SerializeToString())
    options = [*KEEPALIVE.items(), ("grpc.http2.max_pings_without_data", 0)]
    with (
        node.start(service_process.address, ANALYZE, tmp_path / "request", KEEPALIVE) as by_node,
        grpc.insecure_channel(service_process.address, options) as channel,
        closing(PingConnection(service_process.address)) as idle,
    ):
        held.wait_for("begun")
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        for number in range(PINGS):
            assert idle.ping(number), f"the connection ended at ping {number}"
            time.sleep(PING_S)  # the interval is the subject of the test

        held.release()
        assert by_node.communicate(timeout=60)[0].startswith("0 1 ")
        assert watch.is_active()
        watch.cancel()
    assert held.count("begun") == 1


@pytest.fixture
def attempts(settings: Settings, make_service: Callable[[Settings], Any]) -> tuple[str, list[int]]:
    """Address of a service that rejects the first two requests, and the sizes of all requests it receives."""
    service = make_service(settings)
    service.warm_up()
    admission, sizes, lock = service.service._admission, [], threading.Lock()
    admit = admission.admit

    def reject_twice(method: str, size: int, connection: str) -> Any:
        with lock:
            sizes.append(size)
        if len(sizes) <= 2:
            raise NotReady("the service is shutting down; try another replica")
        return admit(method, size, connection)

    admission.admit = reject_twice
    return service.address, sizes


def node_options(address: str) -> dict[str, object]:
    """Return the channel options that docs/how-to/nodejs.md recommends."""
    config = json.dumps(shipped_service_config())
    return {"grpc.service_config": config, "grpc.per_rpc_retry_buffer_size": 52 << 20}


def test_node_with_the_shipped_config_retries_a_rejected_request_of_any_size(
    attempts: tuple[str, list[int]], node: NodeClient, tmp_path: Path
) -> None:
    address, sizes = attempts
    request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=bytes(2_000_000)))
    (tmp_path / "request").write_bytes(request.SerializeToString())

    with node.start(address, CLASSIFY, tmp_path / "request", node_options(address)) as call:
        answer = call.communicate(timeout=60)[0]

    assert answer.startswith("3 0 ")  # INVALID_ARGUMENT: admitted, but not an image
    assert len(sizes) == 3


def test_node_does_not_retry_started_work(
    attempts: tuple[str, list[int]],
    node: NodeClient,
    photo: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, sizes = attempts

    def fail(*_: object, **__: object) -> None:
        raise RuntimeUnavailable("TorchServe is gone")

    monkeypatch.setattr(classification, "prepare_request", fail)
    request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=photo))
    (tmp_path / "request").write_bytes(request.SerializeToString())

    with node.start(address, CLASSIFY, tmp_path / "request", node_options(address)) as call:
        answer = call.communicate(timeout=60)[0]

    assert answer.strip() == "14 0 TorchServe is gone"  # UNAVAILABLE
    assert len(sizes) == 3  # rejected twice, then started once
