"""Restart of a single service: calls in each phase of the shutdown.

See docs/explanation/life-of-a-call.md.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.server.life.conftest import HeldCall
from tests.support.service_process import ServiceProcess
from zfscope.client import Client
from zfscope.errors import NotReady

StartAnalysis = Callable[[Client], "Future[Any]"]
SHUTTING_DOWN = "the service is shutting down; try another replica"


def test_new_calls_are_answered_during_the_lame_duck_phase(
    start_process: Callable[..., ServiceProcess], photo: bytes
) -> None:
    service_process = start_process(lame_duck_s=10)  # on a busy machine three calls take seconds
    with Client(service_process.address) as client:
        assert client.classify(photo).model == "tiny"
        service_process.send(signal.SIGTERM)
        stopping = service_process.wait_for_log("shutting down")

        assert client.health() == "NOT_SERVING"
        assert client.classify(photo).model == "tiny"

    assert (stopping["reason"], stopping["requests"], stopping["lame_duck_s"]) == ("SIGTERM", 0, 10)
    assert service_process.wait() == 0


def test_after_admission_closes_connections_are_refused_and_running_calls_complete(
    service_process: ServiceProcess, held: HeldCall, start_analysis: StartAnalysis, photo: bytes
) -> None:
    with Client(service_process.address) as client:
        running = start_analysis(client)
        service_process.send(signal.SIGTERM)
        assert service_process.wait_for_log("rejecting requests")["requests"] == 1

        for call in (client.models, lambda: client.analyze("held", [photo], held.parameters)):
            with pytest.raises(NotReady, match=r"unavailable: |closed the connection"):
                call()
        assert not running.done()
        held.release()

        assert running.result(timeout=60).analysis.numbers == {"held": 1}
    assert service_process.wait() == 0
    assert (held.count("begun"), held.count("done")) == (1, 1)
    assert service_process.wait_for_log("stopped")["cut_off"] == 0


def test_a_call_that_exceeds_the_grace_time_fails_and_is_not_restarted(
    start_process: Callable[..., ServiceProcess], held: HeldCall, start_analysis: StartAnalysis
) -> None:
    service_process = start_process(grace_s=0.2)
    with Client(service_process.address) as client:
        running = start_analysis(client)
        service_process.send(signal.SIGTERM)

        failure = running.exception(timeout=60)

    assert type(failure) is NotReady
    assert "did not finish within the grace time of 0.2 s; send it again" in str(failure)
    assert service_process.wait() == 0
    assert (held.count("begun"), held.count("cancelled")) == (1, 1)
    assert service_process.wait_for_log("requests aborted")["requests"] == 1
    assert service_process.wait_for_log("stopped")["cut_off"] == 1


def test_while_the_server_stops_incoming_requests_and_new_connections_are_rejected(
    service_process: ServiceProcess, photo: bytes
) -> None:
    last_byte = threading.Event()

    def request() -> Iterator[bytes]:
        last_byte.wait(timeout=60)
        yield b""

    with grpc.insecure_channel(service_process.address) as channel, Client(service_process.address) as client:
        grpc.channel_ready_future(channel).result(timeout=60)
        late = channel.stream_unary("/zfscope.v1.ModelService/ListModels").future(request(), timeout=60)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        service_process.send(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert list(watch) == []  # the watch ends just before the server stops

        last_byte.set()
        with pytest.raises(NotReady):
            client.classify(photo)

        error = late.exception(timeout=60)
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
    assert service_process.wait() == 0


def test_calls_fail_while_the_process_is_down_and_succeed_after_its_restart(
    service_process: ServiceProcess, held: HeldCall, photo: bytes
) -> None:
    held.release()
    with Client(service_process.address) as client:
        assert client.classify(photo).model == "tiny"
        service_process.send(signal.SIGTERM)
        assert service_process.wait() == 0

        for call in (
            lambda: client.classify(photo),
            lambda: client.analyze("held", [photo], held.parameters),
        ):
            with pytest.raises(NotReady, match="unavailable: "):
                call()
        service_process.start()

        client.wait_until_ready(60)
        assert client.classify(photo).model == "tiny"
        assert client.analyze("held", [photo], held.parameters).analysis.numbers == {"held": 1}
    assert held.count("begun") == 1


def test_ctrl_c_skips_the_lame_duck_phase(
    start_process: Callable[..., ServiceProcess],
) -> None:
    service_process = start_process(lame_duck_s=300)

    service_process.send(signal.SIGINT)

    assert service_process.wait() == 0
    assert service_process.wait_for_log("shutting down")["reason"] == "SIGINT"
