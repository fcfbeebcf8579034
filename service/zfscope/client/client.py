"""The client of a service, for threads."""

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
from zfscope.client.retry import is_refused, pauses
from zfscope.errors import Cancelled, NotReady
from zfscope.v1 import analysis_pb2

A = TypeVar("A")
HEALTH_S = 2.0
"""The least time of a health check: after its further attempts, in 1.7 s, it has the reason."""
NO_RESULT = "the service ended the analysis without a result; ask again"


class Client(ClientMethods):
    """A connection to a service; close it, or use it as a context manager. Many threads may share it.

    A call that no service has begun is sent again, up to three times. One that takes longer than its time
    limit raises Cancelled; a service that is not available, or goes away, NotReady.
    """

    def __init__(self, address: str, *, timeout_s: float | None = 60, access: Access | None = None) -> None:
        """Open a connection; nothing is sent yet.

        address: HOST:PORT, http://HOST:PORT, or any target that gRPC knows, each with its port; of several
        replicas `dns:///HOST:PORT`, a name that resolves to all of them, or
        `ipv4:10.0.0.1:50051,10.0.0.2:50051`. timeout_s: of each call.
        access: TLS and a token; unset: as the environment says.
        Connections to this machine never use the environment's proxy.
        Raises InputError for an address or an access that cannot be used.
        """
        self._connection = Connection(address, timeout_s=timeout_s, access=access)
        self._channel = open_channel(self._connection)
        self._stubs = rpc.stubs(self._channel)

    def close(self) -> None:
        """Close the connection, which cancels calls that are in progress."""
        self._connection.closed = True
        self._channel.close()

    def wait_until_ready(self, timeout_s: float = 30) -> None:
        """Wait until the service is SERVING. Raises NotReady when it is not in time."""
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
            return self._unary(lambda: rpc.typed_call(request))
        with request.renamed_fields(), closing(self._messages(request)) as messages:
            for message in messages:
                if message.WhichOneof("message") == "result":
                    return rpc.read_result(request, message.result)
                if request.progress:
                    request.progress(rpc.read_progress(message.progress))
        raise NotReady(NO_RESULT)

    def _state(self, end: float) -> str:
        """Return the state of the service, or why it is unknown. end: of the wait, `time.monotonic()`."""
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
        """Ask the service for its limit, each time, as it may be another one; None where it is unknown."""
        request, limits = health_pb2.HealthCheckRequest(), self._connection
        try:
            _, call = self._stubs["Check"].with_call(
                request, timeout=limits.timeout_s, metadata=limits.metadata
            )
        except grpc.RpcError:  # the request itself will say why
            return None
        return rpc.read_limit(call.trailing_metadata())

    def _messages(self, request: AnalysisRequest[Any]) -> Generator[analysis_pb2.AnalyzeResponse]:
        """Yield the messages of an Analyze, which is sent again while no service has begun it."""
        waits, message = pauses(), request.message()
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
                again_s = next(waits, None)
                if again_s is None or not is_refused(error) or not isinstance(failure, NotReady):
                    raise failure from None
            finally:
                call.cancel()  # where it is not over: the reader left
            time.sleep(again_s)


def _calling(cancel: Cancellation | None, callback: Any) -> Any:
    return cancel.calling(callback) if cancel else nullcontext()


def _cancellable(method: Any, call: UnaryCall[Any], timeout_s: float, metadata: Any) -> Any:
    """Return the response of a call that another thread may cancel."""
    future = method.future(call.request, timeout=timeout_s, metadata=metadata)
    with _calling(call.cancel, future.cancel):
        try:
            return future.result()
        except grpc.FutureCancelledError:
            raise Cancelled("the call was cancelled") from None
