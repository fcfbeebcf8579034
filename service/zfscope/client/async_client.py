"""Client of a service for asyncio."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, contextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
from grpc_health.v1 import health_pb2

from zfscope.cancellation import Cancellation
from zfscope.client import rpc
from zfscope.client.access import Access
from zfscope.client.calls import AnalysisRequest, UnaryCall, check_health
from zfscope.client.channel import open_async_channel
from zfscope.client.client import HEALTH_S, NO_RESULT
from zfscope.client.connection import Connection
from zfscope.client.files import request_limit
from zfscope.client.retry import is_retryable, retry_delays
from zfscope.errors import Cancelled, NotReady
from zfscope.v1 import analysis_pb2

if TYPE_CHECKING:
    from zfscope.client.generated import AsyncClientMethods
else:  # at runtime the methods return the coroutines of `_unary` and `_run`
    from zfscope.client.methods import CommonMethods as AsyncClientMethods

A = TypeVar("A")
T = TypeVar("T")


class AsyncClient(AsyncClientMethods):
    """Asynchronous client of a ZFScope service, with the methods and errors of `Client`.

        async with AsyncClient("localhost:50051") as client:
            result = await client.project("china.jpg", layer="conv5")

    Create and use it inside one event loop. Files are read in a thread. Cancelling a task cancels its call.
    """

    def __init__(self, address: str, *, timeout_s: float | None = 60, access: Access | None = None) -> None:
        """Create a client inside a running event loop; for the arguments see `Client`."""
        self._connection = Connection(address, timeout_s=timeout_s, access=access)
        self._channel = open_async_channel(self._connection)
        self._stubs = rpc.stubs(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in progress are cancelled."""
        self._connection.closed = True
        await self._channel.close()

    async def wait_until_ready(self, timeout_s: float = 30) -> None:
        """Wait until the service is SERVING. Raises NotReady after `timeout_s` seconds."""
        end = time.monotonic() + timeout_s
        while (state := await self._state(end)) != "SERVING":
            if time.monotonic() > end:
                address = self._connection.target.text
                raise NotReady(f"{address} is not serving after {timeout_s:g} s: {state}")
            await asyncio.sleep(0.05)

    async def _run(self, make: Callable[[], AnalysisRequest[A]]) -> A:
        request = await self._build(make)
        if request.typed and not request.progress:
            return await self._unary(lambda: rpc.typed_unary_call(request))
        with request.renamed_fields():
            async with aclosing(self._messages(request)) as messages:
                async for message in messages:
                    if message.WhichOneof("message") == "result":
                        return rpc.read_result(request, message.result)
                    if request.progress:
                        request.progress(rpc.read_progress(message.progress))
        raise NotReady(NO_RESULT)

    async def _build(self, make: Callable[[], T]) -> T:
        """Build a request in a thread, because it may read files and query the service's size limit."""
        loop = asyncio.get_running_loop()

        def ask() -> int | None:
            return asyncio.run_coroutine_threadsafe(self._max_request_bytes(), loop).result()

        with request_limit(ask):
            return await asyncio.to_thread(make)

    async def _max_request_bytes(self) -> int | None:
        """Query the service's request size limit, None if unknown; not cached, as the replica may change."""
        request, limits = health_pb2.HealthCheckRequest(), self._connection
        call = self._stubs["Check"](request, timeout=limits.timeout_s, metadata=limits.metadata)
        try:
            await call
        except grpc.RpcError:  # the request itself will report the reason
            return None
        return rpc.read_limit(await call.trailing_metadata())

    async def _state(self, end: float) -> str:
        """Return the health status, or why it is unknown. end: deadline in `time.monotonic()` seconds."""
        left_s = max(end - time.monotonic(), HEALTH_S)
        try:
            return await self._unary(lambda: check_health(min(self._connection.timeout_s, left_s)))
        except (NotReady, Cancelled) as error:
            return error.message

    async def _unary(self, make: Callable[[], UnaryCall[A]]) -> A:
        call = await self._build(make)
        timeout_s = self._connection.timeout_of(call.timeout_s)
        deadline = time.monotonic() + timeout_s
        with self._connection.calling(deadline, call.cancel):
            sent = self._stubs[call.rpc](call.request, timeout=timeout_s, metadata=self._connection.metadata)
            with _cancelling(sent, call.cancel):
                return call.read(await sent)

    async def _messages(self, request: AnalysisRequest[Any]) -> AsyncGenerator[analysis_pb2.AnalyzeResponse]:
        """Yield the messages of an Analyze call, retried as long as no service has started it."""
        delays, message = retry_delays(), request.message()
        timeout_s = rpc.stream_timeout_s(request, self._connection)
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = None if timeout_s is None else max(deadline - time.monotonic(), 0)
            with self._connection.calling(deadline):
                call = self._stubs["Analyze"](message, timeout=left_s, metadata=self._connection.metadata)
            try:
                with _cancelling(call, request.cancel):
                    async for response in call:
                        yield response
                return
            except grpc.RpcError as error:
                failure = self._connection.failure(error, deadline, request.cancel)
                delay_s = next(delays, None)
                if delay_s is None or not is_retryable(error) or not isinstance(failure, NotReady):
                    raise failure from None
            finally:
                call.cancel()  # no effect once it has ended; cancels it if the reader stopped early
            await asyncio.sleep(delay_s)


@contextmanager
def _cancelling(call: Any, cancel: Cancellation | None) -> Any:
    """Cancel a call of this event loop, and raise Cancelled, when `cancel` is triggered from any thread."""
    loop = asyncio.get_running_loop()
    calling = cancel.calling(lambda: loop.call_soon_threadsafe(call.cancel)) if cancel else nullcontext()
    with calling:
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if cancel is None or not cancel.cancelled or (task and task.cancelling()):
                raise
            raise Cancelled("the call was cancelled") from None
