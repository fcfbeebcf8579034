"""Maximum age of connections: clients open new ones, and no call fails within the grace time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.channel_states import ChannelStates
from zfscope.client import Client
from zfscope.server.listen import server_options
from zfscope.server.services import classification
from zfscope.server.settings import Settings
from zfscope.v1 import classification_pb2, image_pb2
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub

IDLE, READY = grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.READY
# A connection of its own, not one shared with other channels of the same process.
OWN = [("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture
def start_with_age(settings: Settings, make_service: Callable[[Settings], Any]) -> Callable[..., str]:
    """Return a function that starts a warm service whose connections live 0.3 seconds."""

    def start(**changes: float) -> str:
        service = make_service(settings.model_copy(update={"max_connection_age_s": 0.3, **changes}))
        service.warm_up()
        return str(service.address)

    return start


def test_no_call_fails_while_connections_are_replaced(
    start_with_age: Callable[..., str], photo: bytes
) -> None:
    ended = threading.Event()
    with Client(start_with_age(), timeout_s=60) as client, ThreadPoolExecutor(4) as pool:
        states = ChannelStates(client._channel)

        def call() -> int:
            calls = 0
            while not ended.is_set():
                assert client.classify(photo).model == "tiny"
                calls += 1
            return calls

        callers = [pool.submit(call) for _ in range(4)]
        try:
            for _ in range(5):  # five connections, one after the other
                states.wait_for(READY)
        finally:
            ended.set()
        assert all(caller.result(timeout=60) for caller in callers)


def test_a_call_in_progress_completes_on_a_connection_that_is_too_old(
    start_with_age: Callable[..., str], photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, prepare = threading.Event(), classification.prepare_request

    def prepare_when_released(*arguments: Any) -> Any:
        assert released.wait(timeout=60)
        return prepare(*arguments)

    monkeypatch.setattr(classification, "prepare_request", prepare_when_released)
    request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=photo))
    with grpc.insecure_channel(start_with_age(), OWN) as channel:
        states = ChannelStates(channel)
        call = ClassificationServiceStub(channel).Classify.future(request, timeout=60)
        states.wait_for(READY)
        states.wait_for(IDLE)
        released.set()
        assert call.result(timeout=60).model == "tiny"


def test_a_call_ends_with_unavailable_after_the_grace_time(start_with_age: Callable[..., str]) -> None:
    address = start_with_age(max_connection_age_grace_s=0.1)
    with grpc.insecure_channel(address, OWN) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        with pytest.raises(grpc.RpcError) as caught:
            list(watch)
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        "max connection age",
    )


def test_connections_have_no_maximum_age_by_default_and_calls_in_progress_get_their_deadline() -> None:
    assert "grpc.max_connection_age_ms" not in dict(server_options(Settings(), 1))
    aged = dict(server_options(Settings(max_connection_age_s=60, max_deadline_s=1200), 1))
    assert (aged["grpc.max_connection_age_ms"], aged["grpc.max_connection_age_grace_ms"]) == (
        60_000,
        1_200_000,
    )
