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


class FailedCall(grpc.RpcError, grpc.Call):
    """A failed call."""

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
        raise AssertionError(f"unexpected use of {name}")


FailedCall.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]  # the client does not use them


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.CANCELLED, "CANCELLED"),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
        (grpc.StatusCode.UNKNOWN, "Data frame with END_STREAM flag received"),
    ],
)
def test_a_call_reset_by_the_peer_raises_not_ready(code: grpc.StatusCode, details: str) -> None:
    failure = failure_of(FailedCall(code, details), deadline=math.inf, closed=False)

    assert type(failure) is NotReady
    assert failure.message == (
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
def test_other_transport_failures_do_not_raise_not_ready(code: grpc.StatusCode, details: str) -> None:
    assert type(failure_of(FailedCall(code, details), deadline=math.inf, closed=False)) is ZfscopeError


def test_a_call_reset_at_its_deadline_raises_cancelled() -> None:
    failure = failure_of(
        FailedCall(grpc.StatusCode.CANCELLED, "CANCELLED"), deadline=time.monotonic(), closed=False
    )

    assert type(failure) is Cancelled


def test_a_cancellation_reported_by_the_service_raises_cancelled() -> None:
    status = status_of(Cancelled("the client cancelled the call or disconnected"), request_id="r1")
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    call = FailedCall(grpc.StatusCode.CANCELLED, status.message, trailing=trailing)

    assert type(failure_of(call, deadline=math.inf, closed=False)) is Cancelled


def test_only_a_call_without_initial_metadata_of_the_service_is_retryable() -> None:
    proxy_metadata = (("server", "nginx"),)
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        assert is_retryable(FailedCall(code, ""))
        assert is_retryable(FailedCall(code, "", initial=proxy_metadata))
        assert not is_retryable(FailedCall(code, "", initial=(*proxy_metadata, (REQUEST_ID, "r1"))))
    assert not is_retryable(FailedCall(grpc.StatusCode.RESOURCE_EXHAUSTED, ""))
    assert not is_retryable(FailedCall(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"))


def test_retry_delays_grow_vary_and_are_limited() -> None:
    means = (0.2, 0.4, 0.8)
    drawn = [tuple(retry_delays()) for _ in range(20)]

    for run in drawn:
        assert [round(pause / mean, 6) for pause, mean in zip(run, means, strict=True)] == [
            pytest.approx(1, abs=0.2) for _ in means
        ]
    assert len(set(drawn)) == 20


class StoppingService:
    """A service whose calls never end, and which is stopped while they run.

    sends_metadata: whether a call receives the initial metadata before the service stops.
    """

    def __init__(self, *, sends_metadata: bool) -> None:
        self.calls = 0
        self._sends_metadata, self._arrived, self._stopped = (
            sends_metadata,
            threading.Event(),
            threading.Event(),
        )
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of every method."""
        return grpc.unary_stream_rpc_method_handler(self._answer)

    def stop_during_a_call(self) -> None:
        """Wait for a call, then stop without a grace period, which resets the call."""
        assert self._arrived.wait(timeout=30)
        self._server.stop(None).wait()
        self._stopped.set()

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self.calls += 1
        if self._sends_metadata:
            context.send_initial_metadata(((REQUEST_ID, "r1"),))
        self._arrived.set()
        self._stopped.wait(timeout=30)
        yield from ()


@pytest.mark.parametrize("sends_metadata", [False, True])
@pytest.mark.parametrize("call", [lambda client: client.analyze("project", [b"photo"]), Client.models])
def test_a_call_during_the_stop_of_a_service_raises_not_ready(
    call: Callable[[Client], object], sends_metadata: bool
) -> None:
    stopping = StoppingService(sends_metadata=sends_metadata)
    with Client(stopping.address) as client, ThreadPoolExecutor(1) as pool:
        pending: Future[object] = pool.submit(call, client)
        stopping.stop_during_a_call()

        failure = pending.exception(timeout=30)

    assert type(failure) is NotReady
    assert stopping.calls == 1


def test_closing_a_client_cancels_its_calls() -> None:
    stopping = StoppingService(sends_metadata=True)
    client = Client(stopping.address)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.analyze, "project", [b"photo"])
        assert stopping._arrived.wait(timeout=30)
        client.close()

        assert type(call.exception(timeout=30)) is Cancelled
    stopping.stop_during_a_call()


def test_an_exception_in_the_progress_callback_ends_the_call(service: Any, photo: bytes) -> None:
    ended = threading.Event()

    def leave(_: object) -> None:
        raise KeyError("no longer needed")

    with Client(service.address) as client:
        analyze = client._stubs["Analyze"]

        def watched(*arguments: Any, **options: Any) -> Any:
            call = analyze(*arguments, **options)
            call.add_callback(ended.set)
            return call

        client._stubs["Analyze"] = watched
        with pytest.raises(KeyError, match="no longer needed"):
            client.analyze("occlude", [photo], {"window": 8, "stride": 2}, progress=leave)

        assert ended.wait(timeout=30)
