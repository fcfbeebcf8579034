"""A lone service that is restarted: a call in each phase of the shutdown. See docs/life-of-a-call.md."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.server.life.conftest import HeldCall
from tests.support.lone import Lone
from zfscope.client import Client
from zfscope.errors import NotReady

Begin = Callable[[Client], "Future[Any]"]
SHUTTING_DOWN = "the service is shutting down; try another one"


def test_before_balancers_have_noticed_new_calls_are_answered(
    start_lone: Callable[..., Lone], photo: bytes
) -> None:
    lone = start_lone(lame_duck_s=10)  # on a busy machine three calls take seconds
    with Client(lone.address) as client:
        assert client.classify(photo).model == "tiny"
        lone.send(signal.SIGTERM)
        begun = lone.logged("shutting down")

        assert client.health() == "NOT_SERVING"
        assert client.classify(photo).model == "tiny"

    assert (begun["reason"], begun["requests"], begun["lame_duck_s"]) == ("SIGTERM", 0, 10)
    assert lone.ended() == 0


def test_once_admission_is_closed_new_calls_are_refused_and_running_ones_end_well(
    lone: Lone, held: HeldCall, begin: Begin, photo: bytes
) -> None:
    with Client(lone.address) as client:
        running = begin(client)
        lone.send(signal.SIGTERM)
        assert lone.logged("refusing requests")["requests"] == 1

        for ask in (client.models, lambda: client.analyze("held", [photo], held.parameters)):
            with pytest.raises(NotReady, match=SHUTTING_DOWN):
                ask()
        assert not running.done()
        held.release()

        assert running.result(timeout=60).analysis.numbers == {"held": 1}
    assert lone.ended() == 0
    assert (held.count("begun"), held.count("done")) == (1, 1)
    assert lone.logged("stopped")["cut_off"] == 0


def test_a_call_that_outlasts_the_grace_time_is_not_ready_and_not_begun_again(
    start_lone: Callable[..., Lone], held: HeldCall, begin: Begin
) -> None:
    lone = start_lone(grace_s=0.2)
    with Client(lone.address) as client:
        running = begin(client)
        lone.send(signal.SIGTERM)

        failure = running.exception(timeout=60)

    assert type(failure) is NotReady
    assert "was not done within the grace time of 0.2 s; send it again" in str(failure)
    assert lone.ended() == 0
    assert (held.count("begun"), held.count("cancelled")) == (1, 1)
    assert lone.logged("cut off")["requests"] == 1
    assert lone.logged("stopped")["cut_off"] == 1


def test_in_its_last_moments_a_request_on_its_way_in_is_refused_and_new_ones_find_nobody(
    lone: Lone, photo: bytes
) -> None:
    last_byte = threading.Event()

    def request() -> Iterator[bytes]:
        last_byte.wait(timeout=60)
        yield b""

    with grpc.insecure_channel(lone.address) as channel, Client(lone.address) as client:
        grpc.channel_ready_future(channel).result(timeout=60)
        late = channel.stream_unary("/zfscope.v1.ModelService/ListModels").future(request(), timeout=60)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        lone.send(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert list(watch) == []  # the last that is done before the server stops

        last_byte.set()
        with pytest.raises(NotReady):
            client.classify(photo)

        refusal = late.exception(timeout=60)
        assert (refusal.code(), refusal.details()) == (grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
    assert lone.ended() == 0


def test_when_the_process_is_gone_calls_are_not_ready_until_it_is_back(
    lone: Lone, held: HeldCall, photo: bytes
) -> None:
    held.release()
    with Client(lone.address) as client:
        assert client.classify(photo).model == "tiny"
        lone.send(signal.SIGTERM)
        assert lone.ended() == 0

        for ask in (
            lambda: client.classify(photo),
            lambda: client.analyze("held", [photo], held.parameters),
        ):
            with pytest.raises(NotReady, match="unavailable: "):
                ask()
        lone.start()

        client.wait_until_ready(60)
        assert client.classify(photo).model == "tiny"
        assert client.analyze("held", [photo], held.parameters).analysis.numbers == {"held": 1}
    assert held.count("begun") == 1


def test_a_service_ends_without_its_lame_duck_time_on_ctrl_c(start_lone: Callable[..., Lone]) -> None:
    lone = start_lone(lame_duck_s=300)

    lone.send(signal.SIGINT)

    assert lone.ended() == 0
    assert lone.logged("shutting down")["reason"] == "SIGINT"
