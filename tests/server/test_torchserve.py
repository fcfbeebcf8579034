"""A service whose passes a real TorchServe runs, which is missing, comes, is killed and comes back."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.server.conftest import RunningService
from tests.support.torchserve import RunningTorchServe
from zfscope.server.settings import Settings
from zfscope.store import ModelStore
from zfscope.v1 import classification_pb2, image_pb2, model_pb2
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub
from zfscope.v1.model_pb2_grpc import ModelServiceStub

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
CLIENTS = 6


@pytest.fixture
def torchserve(store: Path, tmp_path: Path) -> Iterator[RunningTorchServe]:
    """One that has the default model and has not been started."""
    torchserve = RunningTorchServe(tmp_path, [ModelStore(store).load("tiny")])
    yield torchserve
    torchserve.stop()


class Caller:
    """Classifies a photo again and again, from several threads, and keeps how each call ended."""

    def __init__(self, address: str, photo: bytes) -> None:
        self._request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=photo))
        self._channel = grpc.insecure_channel(address)
        self._stub = ClassificationServiceStub(self._channel)
        self._enough = threading.Event()
        self.answers: list[classification_pb2.ClassifyResponse] = []
        self.failures: list[tuple[float, grpc.StatusCode, str]] = []
        """When each began, and its status."""

    @property
    def reasons(self) -> set[tuple[grpc.StatusCode, str]]:
        return {(code, details) for _, code, details in self.failures}

    def once(self) -> classification_pb2.ClassifyResponse:
        return self._stub.Classify(self._request, timeout=60)

    def begin(self) -> None:
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._loops = [self._pool.submit(self._loop) for _ in range(CLIENTS)]

    def end(self) -> None:
        self._enough.set()
        self._pool.shutdown()
        for loop in self._loops:
            loop.result()

    def _loop(self) -> None:
        while not self._enough.is_set():
            begun = time.monotonic()
            try:
                self.answers.append(self.once())
            except grpc.RpcError as error:
                self.failures.append((begun, error.code(), error.details()))
                self._enough.wait(0.05)


def wait_for(status: int, address: str) -> None:
    """Watch the health of a service until it has a status."""
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for answer in health.Watch(health_pb2.HealthCheckRequest(), timeout=120):
            if answer.status == status:
                return


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_health_and_calls_follow_torchserve(
    settings: Settings,
    torchserve: RunningTorchServe,
    make_service: Callable[[Settings], RunningService],
    photo: bytes,
    service: RunningService,
) -> None:
    address = torchserve.torchserve.address
    asked = {"runtime": "torchserve", "torchserve": address, "torchserve_timeout_s": 60.0}
    running = make_service(settings.model_copy(update=asked))
    unavailable = (
        grpc.StatusCode.UNAVAILABLE,
        f"TorchServe at {address} is unreachable, or closed the connection",
    )
    caller = Caller(running.address, photo)

    warm = running.submit(running.service.warm_up())
    caller.begin()
    until(lambda: unavailable in caller.reasons)
    wait_for(NOT_SERVING, running.address)
    assert not caller.answers
    with grpc.insecure_channel(running.address) as channel:  # what needs no pass is answered
        assert ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest(), timeout=60).models

    torchserve.start()
    wait_for(SERVING, running.address)
    assert warm.result(timeout=60) == "model 'tiny' version 2"
    until(lambda: len(caller.answers) > 2 * CLIENTS)
    failed = len(caller.failures)
    killed = torchserve.kill()
    wait_for(NOT_SERVING, running.address)
    until(lambda: len(caller.failures) > failed + 2 * CLIENTS)

    torchserve.start()
    wait_for(SERVING, running.address)
    caller.end()
    in_flight = [begun for begun, *_ in caller.failures[failed:] if begun < killed]
    assert in_flight
    assert {(code, details) for _, code, details in caller.failures[failed:]} == {unavailable}
    expected = Caller(service.address, photo).once()
    for answer in [*caller.answers, caller.once()]:
        assert [score.label for score in answer.classes] == [score.label for score in expected.classes]
        logits = [score.logit for score in expected.classes]
        assert [score.logit for score in answer.classes] == pytest.approx(logits, abs=1e-4)
