"""The time that a call gets."""

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


class Call:
    """Stands for a call with so much time left, None for one without a deadline."""

    def __init__(self, left_s: float | None) -> None:
        self._left_s = left_s

    def time_remaining(self) -> float | None:
        return self._left_s


@pytest.mark.parametrize(("says", "gets"), [(None, 10), (3, 3), (10, 10), (50, 20)])
def test_a_call_gets_its_own_deadline_or_the_default_up_to_the_maximum(
    says: float | None, gets: float
) -> None:
    assert DeadlineLimits(default_s=10, max_s=20).timeout_s(Call(says)) == gets  # type: ignore[arg-type]


@pytest.mark.parametrize(("says", "gets"), [(None, 20), (3, 3), (50, 20)])
def test_a_stream_gets_its_own_deadline_up_to_the_maximum(says: float | None, gets: float) -> None:
    limits = DeadlineLimits(default_s=10, max_s=20)

    assert limits.timeout_s(Call(says), stream=True) == gets  # type: ignore[arg-type]


async def test_work_past_its_deadline_is_stopped() -> None:
    with pytest.raises(TooLate, match=r"the call exceeded its deadline of 0[.]01 s"):
        async with time_limit(0.01):
            await asyncio.sleep(30)


async def test_a_timeout_raised_by_the_work_is_not_mistaken_for_the_deadline() -> None:
    with pytest.raises(TimeoutError, match="a socket"):
        async with time_limit(30):
            raise TimeoutError("a socket")


class Endless:
    """Stands for an analysis that never ends by itself, and tells when it was ended."""

    def __init__(self) -> None:
        self._begun, self._ended = threading.Event(), threading.Event()

    def stops(self) -> bool:
        """Whether the analysis ends; on a busy machine its call may have ended before it began."""
        return not self._begun.is_set() or self._ended.wait(timeout=60)

    def __call__(
        self, backend: Any, request: Any, cancel: CallCancellation, *latest: MessageQueue[Any]
    ) -> None:
        """Look again and again whether somebody still waits, as analyzers do."""
        self._begun.set()
        try:
            while True:
                cancel.check()
                time.sleep(0.001)
                for stream in latest:
                    stream.put(pb.AnalyzeResponse(result=pb.Analysis(model="x" * 1_000_000)))
        finally:
            self._ended.set()


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Endless:
    """Makes every Occlude and Analyze endless."""
    endless = Endless()
    monkeypatch.setattr(analysis, "analyze", endless)
    monkeypatch.setattr(analysis, "answer_typed", lambda typed, *arguments: endless(*arguments))
    return endless


@pytest.fixture
def make_hasty(
    settings: Settings, make_service: Callable[[Settings], RunningService]
) -> Callable[[float], RunningService]:
    """Starts a service where no call gets more than a number of seconds."""

    def make(seconds: float) -> RunningService:
        limits = {"default_deadline_s": seconds, "max_deadline_s": seconds}
        service = make_service(settings.model_copy(update=limits))
        service.warm_up()
        return service

    return make


@pytest.fixture
def hasty(make_hasty: Callable[[float], RunningService]) -> RunningService:
    """A service where no call gets more than a fifth of a second."""
    return make_hasty(0.2)


@pytest.mark.parametrize("timeout_s", [None, 60])
def test_a_call_over_the_maximum_deadline_and_its_work_are_stopped(
    hasty: RunningService, endless: Endless, timeout_s: float | None
) -> None:
    with grpc.insecure_channel(hasty.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            AnalysisServiceStub(channel).Occlude(pb.OccludeRequest(), timeout=timeout_s)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert caught.value.details() == "the call exceeded its deadline of 0.2 s"
        assert endless.stops()


def test_an_analysis_without_a_deadline_gets_the_maximum(
    settings: Settings, make_service: Callable[[Settings], RunningService], endless: Endless
) -> None:
    service = make_service(settings.model_copy(update={"default_deadline_s": 0.1, "max_deadline_s": 1}))
    service.warm_up()
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as caught:
        list(AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest()))

    assert caught.value.details() == "the call exceeded its deadline of 1 s"


def test_a_stream_over_the_maximum_deadline_is_stopped(hasty: RunningService, endless: Endless) -> None:
    with grpc.insecure_channel(hasty.address) as channel:
        answers = AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest())
        with pytest.raises(grpc.RpcError) as caught:
            for _ in answers:
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert endless.stops()


def test_a_stream_without_a_reader_is_stopped(
    make_hasty: Callable[[float], RunningService], endless: Endless
) -> None:
    slower = make_hasty(2)  # the first message has to come within this time
    with grpc.insecure_channel(slower.address) as channel:
        answers = AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest())
        assert next(answers).result.model
        assert endless.stops()
