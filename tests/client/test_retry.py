"""Failed calls: translation into exceptions, and retries."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from zfscope.client import Client
from zfscope.client.retry import failure_of, is_retryable, retry_delays
from zfscope.errors import Cancelled, NotReady, ZfscopeError
from zfscope.wire.status import REQUEST_ID, status_of


class Failed(grpc.RpcError, grpc.Call):
    """A call that has failed."""

    def __init__(
        self, code: grpc.StatusCode, details: str, *, initial: tuple[Any, ...] = (), trailing: Any = ()
    ) -> None:
        self._code, self._details, self._initial, self._trailing = code, details, initial, trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def initial_metadata(self) -> tuple[Any, ...]:
        return self._initial

    def trailing_metadata(self) -> Any:
        return self._trailing

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not asked for")


Failed.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]  # what is not asked for


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.CANCELLED, "CANCELLED"),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
        (grpc.StatusCode.UNKNOWN, "Data frame with END_STREAM flag received"),
    ],
)
def test_a_call_that_its_peer_breaks_off_is_not_ready(code: grpc.StatusCode, details: str) -> None:
    found = failure_of(Failed(code, details), deadline=math.inf, closed=False)

    assert type(found) is NotReady
    assert found.message == (
        "the service or a proxy closed the connection without a response; try again "
        f"({code.name.lower()}: {details})"
    )


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.INTERNAL, "Exception deserializing response!"),
        (grpc.StatusCode.UNKNOWN, "Received http2 header with status: 413"),
    ],
)
def test_another_failure_on_the_way_is_not_taken_for_a_service_that_is_gone(
    code: grpc.StatusCode, details: str
) -> None:
    assert type(failure_of(Failed(code, details), deadline=math.inf, closed=False)) is ZfscopeError


def test_a_call_that_the_service_resets_at_its_deadline_is_cancelled() -> None:
    found = failure_of(
        Failed(grpc.StatusCode.CANCELLED, "CANCELLED"), deadline=time.monotonic(), closed=False
    )

    assert type(found) is Cancelled


def test_a_cancellation_that_the_service_states_is_cancelled() -> None:
    status = status_of(Cancelled("the caller went away"), request_id="r1")
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    call = Failed(grpc.StatusCode.CANCELLED, status.message, trailing=trailing)

    assert type(failure_of(call, deadline=math.inf, closed=False)) is Cancelled


def test_a_call_without_the_services_initial_metadata_is_sent_again_and_no_other() -> None:
    from_a_proxy = (("server", "nginx"),)
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        assert is_retryable(Failed(code, ""))
        assert is_retryable(Failed(code, "", initial=from_a_proxy))
        assert not is_retryable(Failed(code, "", initial=(*from_a_proxy, (REQUEST_ID, "r1"))))
    assert not is_retryable(Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, ""))
    assert not is_retryable(Failed(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"))


def test_retry_delays_grow_vary_and_end() -> None:
    means = (0.2, 0.4, 0.8)
    drawn = [tuple(retry_delays()) for _ in range(20)]

    for run in drawn:
        assert [round(pause / mean, 6) for pause, mean in zip(run, means, strict=True)] == [
            pytest.approx(1, abs=0.2) for _ in means
        ]
    assert len(set(drawn)) == 20


class Dying:
    """A service whose calls never end, and which is stopped while they run."""

    def __init__(self, *, begins: bool) -> None:
        self.calls = 0
        self._begins, self._arrived, self._stopped = begins, threading.Event(), threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of every method."""
        return grpc.unary_stream_rpc_method_handler(self._answer)

    def stop_in_a_call(self) -> None:
        """Stop as a service does whose last moments have come: calls are reset."""
        assert self._arrived.wait(timeout=30)
        self._server.stop(None).wait()
        self._stopped.set()

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self.calls += 1
        if self._begins:
            context.send_initial_metadata(((REQUEST_ID, "r1"),))
        self._arrived.set()
        self._stopped.wait(timeout=30)
        yield from ()


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("ask", [lambda client: client.analyze("project", [b"photo"]), Client.models])
def test_a_call_that_meets_a_services_last_moments_is_not_ready_and_ends(
    ask: Callable[[Client], object], begins: bool
) -> None:
    dying = Dying(begins=begins)
    with Client(dying.address) as client, ThreadPoolExecutor(1) as pool:
        call: Future[object] = pool.submit(ask, client)
        dying.stop_in_a_call()

        failure = call.exception(timeout=30)

    assert type(failure) is NotReady
    assert dying.calls == 1


def test_a_client_that_is_closed_cancels_its_calls() -> None:
    dying = Dying(begins=True)
    client = Client(dying.address)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.analyze, "project", [b"photo"])
        assert dying._arrived.wait(timeout=30)
        client.close()

        assert type(call.exception(timeout=30)) is Cancelled
    dying.stop_in_a_call()


def test_a_reader_that_leaves_an_analysis_ends_the_call(service: Any, photo: bytes) -> None:
    ended = threading.Event()

    def leave(_: object) -> None:
        raise KeyError("not wanted any more")

    with Client(service.address) as client:
        begin = client._stubs["Analyze"]

        def watched(*arguments: Any, **options: Any) -> Any:
            call = begin(*arguments, **options)
            call.add_callback(ended.set)
            return call

        client._stubs["Analyze"] = watched
        with pytest.raises(KeyError, match="not wanted any more"):
            client.analyze("occlude", [photo], {"window": 8, "stride": 2}, progress=leave)

        assert ended.wait(timeout=30)
