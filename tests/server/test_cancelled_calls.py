"""Log lines of cancelled calls: request id, method, duration and reason."""

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


class BlockedWork:
    """Work of a request that blocks until it is released."""

    def __init__(self) -> None:
        self.started, self.released = threading.Event(), threading.Event()

    def __call__(self, *_: object) -> Any:
        self.started.set()
        self.released.wait(60)
        return None


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockedWork]:
    """Make ModelMetadata and Analyze block until the end of the test."""
    work = BlockedWork()
    monkeypatch.setattr(describe, "metadata", work)
    monkeypatch.setattr(analysis, "analyze", work)
    yield work
    work.released.set()


@pytest.fixture
def cancelled_line(capfd: pytest.CaptureFixture[str], json_log: None) -> Callable[[], dict[str, Any]]:
    """Return a function that waits for the log line of a cancelled call."""

    def read() -> dict[str, Any]:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for text in capfd.readouterr().out.splitlines():
                line: dict[str, Any] = json.loads(text)
                if line["event"] == "cancelled":
                    return line
            time.sleep(0.01)
        raise AssertionError("no log line of a cancelled call")

    return read


def check_line(line: dict[str, Any], method: str, request_id: str) -> None:
    assert (line["method"], line["request_id"], line["code"]) == (method, request_id, "CANCELLED")
    assert line["reason"] == REASON
    assert line["seconds"] >= 0


def test_a_call_cancelled_by_its_client_is_logged(
    channel: grpc.Channel, work: BlockedWork, cancelled_line: Callable[[], dict[str, Any]]
) -> None:
    metadata = (("x-request-id", "mine"),)
    call = GRPCInferenceServiceStub(channel).ModelMetadata.future(
        inference_pb2.ModelMetadataRequest(), metadata=metadata
    )
    assert work.started.wait(30)
    call.cancel()
    check_line(cancelled_line(), "/inference.GRPCInferenceService/ModelMetadata", "mine")


def test_a_stream_cancelled_by_its_client_is_logged(
    channel: grpc.Channel, work: BlockedWork, cancelled_line: Callable[[], dict[str, Any]]
) -> None:
    call = AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest(), metadata=(("x-request-id", "mine"),))
    assert work.started.wait(30)
    call.cancel()
    check_line(cancelled_line(), "/zfscope.v1.AnalysisService/Analyze", "mine")


def test_a_call_of_a_killed_client_is_logged(
    service: RunningService, work: BlockedWork, cancelled_line: Callable[[], dict[str, Any]]
) -> None:
    client = subprocess.Popen([sys.executable, "-c", CLIENT, service.address])
    assert work.started.wait(60)
    client.kill()
    client.wait(30)
    check_line(cancelled_line(), "/inference.GRPCInferenceService/ModelMetadata", "killed")


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
