"""Health over the wire: Check and Watch."""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from zfscope.server.lifecycle.health import HealthService
from zfscope.server.protos import SERVICES

Response = health_pb2.HealthCheckResponse


class Watch:
    """A health watch on a separate connection, read by a thread."""

    def __init__(self, address: str, service: str = "") -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        request = health_pb2.HealthCheckRequest(service=service)
        self._call = health_pb2_grpc.HealthStub(self._channel).Watch(request)
        self._statuses: queue.Queue[int | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def next(self) -> int | None:
        """Return the next status; None after the end of the watch."""
        return self._statuses.get(timeout=30)

    def cancel(self) -> None:
        self._call.cancel()
        self._reader.join(timeout=30)
        self._channel.close()

    def _read(self) -> None:
        try:
            for answer in self._call:
                self._statuses.put(answer.status)
        except grpc.RpcError:
            assert self._call.cancelled()
        self._statuses.put(None)


@pytest.fixture
def watches(cold_service: Any) -> Iterator[list[Watch]]:
    """Three watches of a service that is not warm, each after its first status."""
    watches = [Watch(cold_service.address, service) for service in ("", "", SERVICES[0])]
    assert [watch.next() for watch in watches] == [Response.NOT_SERVING] * 3
    yield watches
    for watch in watches:
        watch.cancel()


def test_watchers_receive_every_change_until_shutdown(cold_service: Any, watches: list[Watch]) -> None:
    cold_service.warm_up()
    assert [watch.next() for watch in watches] == [Response.SERVING] * 3

    cold_service.call(cold_service.service.stop())
    assert [watch.next() for watch in watches] == [Response.NOT_SERVING] * 3
    assert [watch.next() for watch in watches] == [None] * 3


async def test_a_slow_watcher_receives_the_last_status_before_the_end() -> None:
    health = HealthService(())
    health.set(serving=True)
    watch = health.Watch(health_pb2.HealthCheckRequest(), None)
    assert (await anext(watch)).status == Response.SERVING

    health.shut_down()
    health.end_watches()

    assert [answer.status async for answer in watch] == [Response.NOT_SERVING]


def test_a_cancelled_watch_does_not_affect_other_watchers(cold_service: Any, watches: list[Watch]) -> None:
    watches[0].cancel()

    cold_service.warm_up()

    assert [watch.next() for watch in watches[1:]] == [Response.SERVING] * 2


def test_a_service_that_becomes_ready_during_shutdown_stays_not_serving(
    cold_service: Any, watches: list[Watch]
) -> None:
    cold_service.service._health.shut_down()
    cold_service.warm_up()

    check = health_pb2_grpc.HealthStub
    with grpc.insecure_channel(cold_service.address) as channel:
        answer = check(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == Response.NOT_SERVING


def test_an_unknown_service_is_not_found_and_watched_as_unknown(service: Any, channel: grpc.Channel) -> None:
    stub, request = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckRequest(service="elsewhere")

    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(request, timeout=30)
    watch = stub.Watch(request, timeout=30)

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert next(watch).status == Response.SERVICE_UNKNOWN
    watch.cancel()
