"""A service with a real TorchServe that is absent, starts, is killed and restarts."""

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
    """TorchServe with the default model, not started."""
    torchserve = RunningTorchServe(tmp_path, [ModelStore(store).load("tiny")])
    yield torchserve
    torchserve.stop()


class Caller:
    """Classifies a photo repeatedly from several threads and records the outcome of each call."""

    def __init__(self, address: str, photo: bytes) -> None:
        self._request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=photo))
        self._channel = grpc.insecure_channel(address)
        self._stub = ClassificationServiceStub(self._channel)
        self._stopped = threading.Event()
        self.answers: list[classification_pb2.ClassifyResponse] = []
        # Start time, status and message of each failed call.
        self.failures: list[tuple[float, grpc.StatusCode, str]] = []

    @property
    def reasons(self) -> set[tuple[grpc.StatusCode, str]]:
        return {(code, details) for _, code, details in self.failures}

    def classify(self) -> classification_pb2.ClassifyResponse:
        return self._stub.Classify(self._request, timeout=60)

    def start(self) -> None:
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._loops = [self._pool.submit(self._loop) for _ in range(CLIENTS)]

    def stop(self) -> None:
        self._stopped.set()
        self._pool.shutdown()
        for loop in self._loops:
            loop.result()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                self.answers.append(self.classify())
            except grpc.RpcError as error:
                self.failures.append((started, error.code(), error.details()))
                self._stopped.wait(0.05)


def wait_for(status: int, address: str) -> None:
    """Watch the health of a service until it has the given status."""
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for answer in health.Watch(health_pb2.HealthCheckRequest(), timeout=120):
            if answer.status == status:
                return


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_health_and_calls_follow_torchserve(
    settings: Settings,
    torchserve: RunningTorchServe,
    make_service: Callable[[Settings], RunningService],
    photo: bytes,
    service: RunningService,
) -> None:
    address = torchserve.torchserve.address
    changes = {"runtime": "torchserve", "torchserve": address, "torchserve_timeout_s": 60.0}
    running = make_service(settings.model_copy(update=changes))
    unavailable = (
        grpc.StatusCode.UNAVAILABLE,
        f"TorchServe at {address} is unreachable, or closed the connection",
    )
    caller = Caller(running.address, photo)

    warm_up = running.submit(running.service.warm_up())
    caller.start()
    wait_until(lambda: unavailable in caller.reasons)
    wait_for(NOT_SERVING, running.address)
    assert not caller.answers
    with grpc.insecure_channel(running.address) as channel:  # calls that need no pass succeed
        assert ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest(), timeout=60).models

    torchserve.start()
    wait_for(SERVING, running.address)
    assert warm_up.result(timeout=60) == "model 'tiny' version 2"
    wait_until(lambda: len(caller.answers) > 2 * CLIENTS)
    failed = len(caller.failures)
    killed = torchserve.kill()
    wait_for(NOT_SERVING, running.address)
    wait_until(lambda: len(caller.failures) > failed + 2 * CLIENTS)

    torchserve.start()
    wait_for(SERVING, running.address)
    caller.stop()
    in_flight = [started for started, *_ in caller.failures[failed:] if started < killed]
    assert in_flight
    assert {(code, details) for _, code, details in caller.failures[failed:]} == {unavailable}
    expected = Caller(service.address, photo).classify()
    for answer in [*caller.answers, caller.classify()]:
        assert [score.label for score in answer.classes] == [score.label for score in expected.classes]
        logits = [score.logit for score in expected.classes]
        assert [score.logit for score in answer.classes] == pytest.approx(logits, abs=1e-4)
