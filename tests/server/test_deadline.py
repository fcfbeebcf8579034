"""Deadlines of calls."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.server.conftest import RunningService
from zfscope.errors import TooLate
from zfscope.server.deadline import CallCancellation, DeadlineLimits, time_limit
from zfscope.server.services import analysis
from zfscope.server.services.stream import MessageQueue
from zfscope.server.settings import Settings
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub


class FakeCall:
    """A call with the given time left in seconds; None without a deadline."""

    def __init__(self, left_s: float | None) -> None:
        self._left_s = left_s

    def time_remaining(self) -> float | None:
        return self._left_s


@pytest.mark.parametrize(("left_s", "timeout_s"), [(None, 10), (3, 3), (10, 10), (50, 20)])
def test_a_call_gets_its_own_deadline_or_the_default_up_to_the_maximum(
    left_s: float | None, timeout_s: float
) -> None:
    assert DeadlineLimits(default_s=10, max_s=20).timeout_s(FakeCall(left_s)) == timeout_s  # type: ignore[arg-type]


@pytest.mark.parametrize(("left_s", "timeout_s"), [(None, 20), (3, 3), (50, 20)])
def test_a_stream_gets_its_own_deadline_up_to_the_maximum(left_s: float | None, timeout_s: float) -> None:
    limits = DeadlineLimits(default_s=10, max_s=20)

    assert limits.timeout_s(FakeCall(left_s), stream=True) == timeout_s  # type: ignore[arg-type]


async def test_work_past_its_deadline_is_stopped() -> None:
    with pytest.raises(TooLate, match=r"the call exceeded its deadline of 0[.]01 s"):
        async with time_limit(0.01):
            await asyncio.sleep(30)


async def test_a_timeout_raised_by_the_work_is_not_mistaken_for_the_deadline() -> None:
    with pytest.raises(TimeoutError, match="a socket"):
        async with time_limit(30):
            raise TimeoutError("a socket")


class EndlessAnalysis:
    """An analysis that runs until it is cancelled, and records its end."""

    def __init__(self) -> None:
        self._started, self._ended = threading.Event(), threading.Event()

    def stops(self) -> bool:
        """Return whether the analysis ends. On a busy machine it may never have started."""
        return not self._started.is_set() or self._ended.wait(timeout=60)

    def __call__(
        self, backend: Any, request: Any, cancel: CallCancellation, *latest: MessageQueue[Any]
    ) -> None:
        """Check for cancellation repeatedly, as analyzers do."""
        self._started.set()
        try:
            while True:
                cancel.check()
                time.sleep(0.001)
                for stream in latest:
                    stream.put(pb.AnalyzeResponse(result=pb.Analysis(model="x" * 1_000_000)))
        finally:
            self._ended.set()


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> EndlessAnalysis:
    """Replace the work of Occlude and Analyze by an endless analysis."""
    endless = EndlessAnalysis()
    monkeypatch.setattr(analysis, "analyze", endless)
    monkeypatch.setattr(analysis, "handle_typed", lambda typed, *arguments: endless(*arguments))
    return endless


@pytest.fixture
def make_deadline_service(
    settings: Settings, make_service: Callable[[Settings], RunningService]
) -> Callable[[float], RunningService]:
    """Return a function that starts a service with the given maximum deadline in seconds."""

    def make(max_deadline_s: float) -> RunningService:
        limits = {"default_deadline_s": max_deadline_s, "max_deadline_s": max_deadline_s}
        service = make_service(settings.model_copy(update=limits))
        service.warm_up()
        return service

    return make


@pytest.fixture
def deadline_service(make_deadline_service: Callable[[float], RunningService]) -> RunningService:
    """A service with a maximum deadline of 0.2 s."""
    return make_deadline_service(0.2)


@pytest.mark.parametrize("timeout_s", [None, 60])
def test_a_call_over_the_maximum_deadline_and_its_work_are_stopped(
    deadline_service: RunningService, endless: EndlessAnalysis, timeout_s: float | None
) -> None:
    with grpc.insecure_channel(deadline_service.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            AnalysisServiceStub(channel).Occlude(pb.OccludeRequest(), timeout=timeout_s)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert caught.value.details() == "the call exceeded its deadline of 0.2 s"
        assert endless.stops()


def test_an_analysis_without_a_deadline_gets_the_maximum(
    settings: Settings, make_service: Callable[[Settings], RunningService], endless: EndlessAnalysis
) -> None:
    service = make_service(settings.model_copy(update={"default_deadline_s": 0.1, "max_deadline_s": 1}))
    service.warm_up()
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as caught:
        list(AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest()))

    assert caught.value.details() == "the call exceeded its deadline of 1 s"


def test_a_stream_over_the_maximum_deadline_is_stopped(
    deadline_service: RunningService, endless: EndlessAnalysis
) -> None:
    with grpc.insecure_channel(deadline_service.address) as channel:
        answers = AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest())
        with pytest.raises(grpc.RpcError) as caught:
            for _ in answers:
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert endless.stops()


def test_a_stream_without_a_reader_is_stopped(
    make_deadline_service: Callable[[float], RunningService], endless: EndlessAnalysis
) -> None:
    service = make_deadline_service(2)  # long enough for the first message
    with grpc.insecure_channel(service.address) as channel:
        answers = AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest())
        assert next(answers).result.model
        assert endless.stops()
