"""The time that a call gets."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.server.conftest import Running
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
def test_a_call_gets_what_it_says_or_the_default_and_never_more_than_the_most(
    says: float | None, gets: float
) -> None:
    assert DeadlineLimits(default_s=10, max_s=20).timeout_s(Call(says)) == gets  # type: ignore[arg-type]


@pytest.mark.parametrize(("says", "gets"), [(None, 20), (3, 3), (50, 20)])
def test_a_stream_gets_what_it_says_or_the_most(says: float | None, gets: float) -> None:
    limits = DeadlineLimits(default_s=10, max_s=20)

    assert limits.timeout_s(Call(says), stream=True) == gets  # type: ignore[arg-type]


async def test_what_takes_too_long_is_ended() -> None:
    with pytest.raises(TooLate, match=r"the call had 0[.]01 s"):
        async with time_limit(0.01):
            await asyncio.sleep(30)


async def test_a_timeout_of_the_work_itself_is_not_taken_for_the_deadline() -> None:
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
def make_hasty(settings: Settings, make_service: Callable[[Settings], Running]) -> Callable[[float], Running]:
    """Starts a service where no call gets more than a number of seconds."""

    def make(seconds: float) -> Running:
        limits = {"default_deadline_s": seconds, "max_deadline_s": seconds}
        service = make_service(settings.model_copy(update=limits))
        service.call(service.service.warm_up())
        return service

    return make


@pytest.fixture
def hasty(make_hasty: Callable[[float], Running]) -> Running:
    """A service where no call gets more than a fifth of a second."""
    return make_hasty(0.2)


@pytest.mark.parametrize("timeout_s", [None, 60])
def test_the_service_ends_a_call_that_takes_longer_than_it_allows_and_its_work(
    hasty: Running, endless: Endless, timeout_s: float | None
) -> None:
    with grpc.insecure_channel(hasty.address) as channel:
        with pytest.raises(grpc.RpcError) as refusal:
            AnalysisServiceStub(channel).Occlude(pb.OccludeRequest(), timeout=timeout_s)
        assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert refusal.value.details() == "the deadline has passed: the call had 0.2 s"
        assert endless.stops()


def test_an_analysis_without_a_deadline_outlives_the_default(
    settings: Settings, make_service: Callable[[Settings], Running], endless: Endless
) -> None:
    service = make_service(settings.model_copy(update={"default_deadline_s": 0.1, "max_deadline_s": 1}))
    service.call(service.service.warm_up())
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as refusal:
        list(AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest()))

    assert refusal.value.details() == "the deadline has passed: the call had 1 s"


def test_a_stream_is_ended_too(hasty: Running, endless: Endless) -> None:
    with grpc.insecure_channel(hasty.address) as channel:
        answers = AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest())
        with pytest.raises(grpc.RpcError) as refusal:
            for _ in answers:
                pass
        assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert endless.stops()


def test_a_stream_that_nobody_reads_is_ended_too(
    make_hasty: Callable[[float], Running], endless: Endless
) -> None:
    slower = make_hasty(2)  # the first message has to come within this time
    with grpc.insecure_channel(slower.address) as channel:
        answers = AnalysisServiceStub(channel).Analyze(pb.AnalyzeRequest())
        assert next(answers).result.model
        assert endless.stops()
