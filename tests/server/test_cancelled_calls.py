"""Calls whose client went away have a line in the log: request id, method, time and reason."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from tests.server.conftest import RunningService
from zfscope.inference import inference_pb2
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.server.interceptors.calls import cancellation_code
from zfscope.server.oip import describe
from zfscope.server.services import analysis
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

CLIENT = """
import sys, grpc
from zfscope.inference import inference_pb2
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
stub = GRPCInferenceServiceStub(grpc.insecure_channel(sys.argv[1]))
stub.ModelMetadata(inference_pb2.ModelMetadataRequest(), metadata=(("x-request-id", "killed"),))
"""
REASON = "the client cancelled the call or disconnected"


class Work:
    """Stands for work of a request; begun: that a call got there, ended: that it may go on."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    def __call__(self, *_: object) -> Any:
        self.begun.set()
        self.ended.wait(60)
        return None


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """What ModelMetadata and Analyze do, until the test ends."""
    work = Work()
    monkeypatch.setattr(describe, "metadata", work)
    monkeypatch.setattr(analysis, "analyze", work)
    yield work
    work.ended.set()


@pytest.fixture
def line(capfd: pytest.CaptureFixture[str], json_log: None) -> Callable[[], dict[str, Any]]:
    """Waits for a line about a call that was cancelled."""

    def read() -> dict[str, Any]:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for text in capfd.readouterr().out.splitlines():
                found: dict[str, Any] = json.loads(text)
                if found["event"] == "cancelled":
                    return found
            time.sleep(0.01)
        raise AssertionError("no line")

    return read


def check(found: dict[str, Any], method: str, request_id: str) -> None:
    assert (found["method"], found["request_id"], found["code"]) == (method, request_id, "CANCELLED")
    assert found["reason"] == REASON
    assert found["seconds"] >= 0


def test_a_call_cancelled_by_its_client_is_logged(
    channel: grpc.Channel, work: Work, line: Callable[[], dict[str, Any]]
) -> None:
    metadata = (("x-request-id", "mine"),)
    call = GRPCInferenceServiceStub(channel).ModelMetadata.future(
        inference_pb2.ModelMetadataRequest(), metadata=metadata
    )
    assert work.begun.wait(30)
    call.cancel()
    check(line(), "/inference.GRPCInferenceService/ModelMetadata", "mine")


def test_a_stream_cancelled_by_its_client_is_logged(
    channel: grpc.Channel, work: Work, line: Callable[[], dict[str, Any]]
) -> None:
    call = AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest(), metadata=(("x-request-id", "mine"),))
    assert work.begun.wait(30)
    call.cancel()
    check(line(), "/zfscope.v1.AnalysisService/Analyze", "mine")


def test_a_call_of_a_killed_client_is_logged(
    service: RunningService, work: Work, line: Callable[[], dict[str, Any]]
) -> None:
    client = subprocess.Popen([sys.executable, "-c", CLIENT, service.address])
    assert work.begun.wait(60)
    client.kill()
    client.wait(30)
    check(line(), "/inference.GRPCInferenceService/ModelMetadata", "killed")


@pytest.mark.parametrize(
    ("left_s", "code"),
    [
        (None, grpc.StatusCode.CANCELLED),
        (5.0, grpc.StatusCode.CANCELLED),
        (0.01, grpc.StatusCode.DEADLINE_EXCEEDED),
        (0.0, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
def test_a_cancelled_call_without_time_left_counts_as_deadline_exceeded(
    left_s: float | None, code: grpc.StatusCode
) -> None:
    class Context:
        def time_remaining(self) -> float | None:
            return left_s

    assert cancellation_code(Context()) is code  # type: ignore[arg-type]
