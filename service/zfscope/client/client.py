"""Synchronous client of a service."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2

from zfscope.cancellation import Cancellation
from zfscope.client import rpc
from zfscope.client.access import Access
from zfscope.client.calls import AnalysisRequest, UnaryCall, check_health
from zfscope.client.channel import open_channel
from zfscope.client.connection import Connection
from zfscope.client.files import request_limit
from zfscope.client.methods import ClientMethods
from zfscope.client.retry import is_retryable, retry_delays
from zfscope.errors import Cancelled, NotReady
from zfscope.v1 import analysis_pb2

A = TypeVar("A")
# Minimum time limit of a health check in seconds: retries take up to 1.7 s before the reason is reported.
HEALTH_S = 2.0
NO_RESULT = "the service ended the analysis without a result; try again"


class Client(ClientMethods):
    """Client of a ZFScope service, safe to share between threads; a context manager, or call `close()`.

        with Client("localhost:50051") as client:
            result = client.project("china.jpg", layer="conv5")

    A call that the service has not started is retried up to three times. A call that exceeds its time limit
    raises Cancelled; an unavailable service or a lost connection raises NotReady.
    """

    def __init__(self, address: str, *, timeout_s: float | None = 60, access: Access | None = None) -> None:
        """Create a client; the connection is established by the first call.

        address: HOST:PORT, unix:PATH, http://HOST:PORT or any gRPC target with a port. For several replicas:
        `dns:///HOST:PORT`, a name that resolves to all of them, or `ipv4:10.0.0.1:50051,10.0.0.2:50051`.
        timeout_s: time limit of each call in seconds; None for no limit.
        access: TLS and token; by default read from the environment, see `Access`.
        The proxy of the environment is not used for connections to this machine.
        Raises InputError for an invalid address or access.
        """
        self._connection = Connection(address, timeout_s=timeout_s, access=access)
        self._channel = open_channel(self._connection)
        self._stubs = rpc.stubs(self._channel)

    def close(self) -> None:
        """Close the connection; calls in progress are cancelled."""
        self._connection.closed = True
        self._channel.close()

    def wait_until_ready(self, timeout_s: float = 30) -> None:
        """Wait until the service is SERVING. Raises NotReady after `timeout_s` seconds."""
        end = time.monotonic() + timeout_s
        while (state := self._state(end)) != "SERVING":
            if time.monotonic() > end:
                address = self._connection.target.text
                raise NotReady(f"{address} is not serving after {timeout_s:g} s: {state}")
            time.sleep(0.05)

    def _run(self, make: Callable[[], AnalysisRequest[A]]) -> A:
        with request_limit(self._max_request_bytes):
            request = make()
        if request.typed and not request.progress:
            return self._unary(lambda: rpc.typed_unary_call(request))
        with request.renamed_fields(), closing(self._messages(request)) as messages:
            for message in messages:
                if message.WhichOneof("message") == "result":
                    return rpc.read_result(request, message.result)
                if request.progress:
                    request.progress(rpc.read_progress(message.progress))
        raise NotReady(NO_RESULT)

    def _state(self, end: float) -> str:
        """Return the health status, or why it is unknown. end: deadline in `time.monotonic()` seconds."""
        left_s = max(end - time.monotonic(), HEALTH_S)
        try:
            return self._unary(lambda: check_health(min(self._connection.timeout_s, left_s)))
        except (NotReady, Cancelled) as error:
            return error.message

    def _unary(self, make: Callable[[], UnaryCall[A]]) -> A:
        with request_limit(self._max_request_bytes):
            call = make()
        timeout_s = self._connection.timeout_of(call.timeout_s)
        deadline = time.monotonic() + timeout_s
        method, metadata = self._stubs[call.rpc], self._connection.metadata
        with self._connection.calling(deadline, call.cancel):
            if call.cancel is None:
                return call.read(method(call.request, timeout=timeout_s, metadata=metadata))
            return call.read(_cancellable(method, call, timeout_s, metadata))

    def _max_request_bytes(self) -> int | None:
        """Query the service's request size limit, None if unknown; not cached, as the replica may change."""
        request, limits = health_pb2.HealthCheckRequest(), self._connection
        try:
            _, call = self._stubs["Check"].with_call(
                request, timeout=limits.timeout_s, metadata=limits.metadata
            )
        except grpc.RpcError:  # the request itself will report the reason
            return None
        return rpc.read_limit(call.trailing_metadata())

    def _messages(self, request: AnalysisRequest[Any]) -> Generator[analysis_pb2.AnalyzeResponse]:
        """Yield the messages of an Analyze call, retried as long as no service has started it."""
        delays, message = retry_delays(), request.message()
        timeout_s = rpc.stream_timeout_s(request, self._connection)
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = None if timeout_s is None else max(deadline - time.monotonic(), 0)
            with self._connection.calling(deadline):
                call = self._stubs["Analyze"](message, timeout=left_s, metadata=self._connection.metadata)
            try:
                with _calling(request.cancel, call.cancel):
                    yield from call
                return
            except grpc.RpcError as error:
                failure = self._connection.failure(error, deadline, request.cancel)
                delay_s = next(delays, None)
                if delay_s is None or not is_retryable(error) or not isinstance(failure, NotReady):
                    raise failure from None
            finally:
                call.cancel()  # no effect once it has ended; cancels it if the reader stopped early
            time.sleep(delay_s)


def _calling(cancel: Cancellation | None, callback: Any) -> Any:
    return cancel.calling(callback) if cancel else nullcontext()


def _cancellable(method: Any, call: UnaryCall[Any], timeout_s: float, metadata: Any) -> Any:
    """Send a call that another thread may cancel, and return its response."""
    future = method.future(call.request, timeout=timeout_s, metadata=metadata)
    with _calling(call.cancel, future.cancel):
        try:
            return future.result()
        except grpc.FutureCancelledError:
            raise Cancelled("the call was cancelled") from None
