"""Limits of connections: idle ones are closed; those over the limit are refused and logged once."""

import json
import queue
import resource
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from zfscope.client import Client
from zfscope.errors import NotReady
from zfscope.server.lifecycle import connections
from zfscope.server.lifecycle.connections import ConnectionMonitor, connection_limit, raise_open_file_limit
from zfscope.server.settings import Settings


class States:
    """The states of a channel, in order."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._states: queue.Queue[grpc.ChannelConnectivity] = queue.Queue()
        channel.subscribe(self._states.put)

    def wait_for(self, state: grpc.ChannelConnectivity) -> None:
        while self._states.get(timeout=30) is not state:
            pass


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
        states, check = States(idle), health_pb2_grpc.HealthStub(idle).Check
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
    monkeypatch.setattr(connections, "_count_open_files", lambda: open_files[0])
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
    monkeypatch.setattr(connections, "_count_open_files", lambda: None)
    await ConnectionMonitor(1).run()


def test_the_open_files_limit_is_raised_and_part_of_it_reserved_for_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = [(256, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    monkeypatch.setattr(connections, "_count_open_files", lambda: 40)
    assert connection_limit() == 256 - 40 - 48
    raise_open_file_limit()
    assert limits[-1] == (4096, 4096)
    assert connection_limit() == 4096 - 40 - 48
    limits.append((50, 50))
    assert connection_limit() == 16
    limits.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    raise_open_file_limit()
    assert limits[-1] == (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert connection_limit() == 1 << 20


def test_a_limit_that_cannot_be_raised_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", fail)
    raise_open_file_limit()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are counted in /proc")
def test_a_process_with_few_descriptors_recovers_and_logs_the_limit_once(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    process = start()
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (160, 160))  # before the service reads its limit
    assert process.stdout is not None
    assert process.stderr is not None
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [lines.put(line) for line in process.stderr or ()])
    reader.start()
    address = process.stdout.readline().split()[-1]
    process.stdout.readline()  # the line printed once it serves
    host, port = address.split(":")
    idle = [socket.create_connection((host, port)) for _ in range(200)]
    logged: list[dict[str, Any]] = []

    def wait_for(event: str) -> None:
        while not logged or logged[-1]["event"] != event:
            logged.append(json.loads(lines.get(timeout=30)))

    wait_for("connections rejected")
    with Client(address, timeout_s=30) as client, pytest.raises(NotReady):
        client.health()
    for connection in idle:
        connection.close()
    wait_for("connections accepted again")
    with Client(address, timeout_s=30) as client:
        assert client.health() == "SERVING"
    process.terminate()
    wait_for("stopped")
    assert [line["event"] for line in logged].count("connections rejected") == 1
    reader.join(timeout=30)
