"""Limits of connections: idle ones are closed; those over the limit are refused and logged once."""

import socket
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from tests.support.channel_states import ChannelStates
from zfscope.client import Client
from zfscope.errors import NotReady
from zfscope.server.lifecycle import connections
from zfscope.server.lifecycle.connections import ConnectionMonitor
from zfscope.server.settings import Settings


def test_an_idle_connection_is_closed_and_one_with_a_watch_stays_open(
    settings: Settings, make_service: Callable[[Settings], Any]
) -> None:
    service = make_service(settings.model_copy(update={"max_idle_s": 0.3}))
    service.warm_up()
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.keepalive_time_ms", 10_000)]
    with (
        grpc.insecure_channel(service.address, options) as idle,
        grpc.insecure_channel(service.address, options) as watching,
    ):
        watch = health_pb2_grpc.HealthStub(watching).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        states, check = ChannelStates(idle), health_pb2_grpc.HealthStub(idle).Check
        for _ in range(2):
            check(health_pb2.HealthCheckRequest(), timeout=30)
            states.wait_for(grpc.ChannelConnectivity.READY)
            states.wait_for(grpc.ChannelConnectivity.IDLE)
        assert watch.is_active()
        watch.cancel()


def test_connections_over_the_limit_are_refused_at_once(
    settings: Settings, make_service: Callable[[Settings], Any]
) -> None:
    service = make_service(settings.model_copy(update={"max_connections": 2}))
    host, port = service.address.split(":")
    with socket.create_connection((host, port)), socket.create_connection((host, port)) as second:
        with Client(service.address, timeout_s=30) as client, pytest.raises(NotReady):
            client.health()
        second.close()
        with Client(service.address, timeout_s=30) as client:
            assert client.health() == "NOT_SERVING"


def test_reaching_the_limit_and_falling_below_it_are_each_logged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_files = [20]
    monkeypatch.setattr(connections, "count_open_files", lambda: open_files[0])
    monitor = ConnectionMonitor(100)
    with capture_logs() as logs:
        for count in (30, 119, 120, 125, 120, 111, 120, 109, 30, 121):
            open_files[0] = count
            monitor.check()
    assert [(line["event"], line["log_level"], line["limit"]) for line in logs] == [
        ("connections rejected", "warning", 100),
        ("connections accepted again", "info", 100),
        ("connections rejected", "warning", 100),
    ]


async def test_connections_are_not_watched_if_descriptors_cannot_be_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "count_open_files", lambda: None)
    await ConnectionMonitor(1).run()
