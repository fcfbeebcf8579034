"""The client of a service, for asyncio."""

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
from zfscope.client.retry import is_refused, pauses
from zfscope.errors import Cancelled, NotReady
from zfscope.v1 import analysis_pb2

if TYPE_CHECKING:
    from zfscope.client.generated import AsyncClientMethods
else:  # what they return is what `_unary` and `_run` return, to be awaited
    from zfscope.client.methods import CommonMethods as AsyncClientMethods

A = TypeVar("A")
T = TypeVar("T")


class AsyncClient(AsyncClientMethods):
    """A connection to a service for asyncio: the methods of `Client`, awaited; see there for its errors.

        async with AsyncClient("localhost:50051") as client:
            seen = await client.project("china.jpg", layer="conv5")

    Open and use it inside one event loop. Files are read in a thread. A task that is cancelled cancels its
    call.
    """

    def __init__(self, address: str, *, timeout_s: float | None = 60, access: Access | None = None) -> None:
        """Open a connection; nothing is sent yet. See `Client`. Call it where an event loop runs."""
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
        """Close the connection, which cancels calls that are in progress."""
        self._connection.closed = True
        await self._channel.close()

    async def wait_until_ready(self, timeout_s: float = 30) -> None:
        """Wait until the service is SERVING. Raises NotReady when it is not in time."""
        end = time.monotonic() + timeout_s
        while (state := await self._state(end)) != "SERVING":
            if time.monotonic() > end:
                address = self._connection.target.text
                raise NotReady(f"{address} is not serving after {timeout_s:g} s: {state}")
            await asyncio.sleep(0.05)

    async def _run(self, make: Callable[[], AnalysisRequest[A]]) -> A:
        request = await self._made(make)
        if request.typed and not request.progress:
            return await self._unary(lambda: rpc.typed_call(request))
        with request.renamed_fields():
            async with aclosing(self._messages(request)) as messages:
                async for message in messages:
                    if message.WhichOneof("message") == "result":
                        return rpc.read_result(request, message.result)
                    if request.progress:
                        request.progress(rpc.read_progress(message.progress))
        raise NotReady(NO_RESULT)

    async def _made(self, make: Callable[[], T]) -> T:
        """Make a request in a thread, as files may have to be read; it may ask the service for its limit."""
        loop = asyncio.get_running_loop()

        def ask() -> int | None:
            return asyncio.run_coroutine_threadsafe(self._max_request_bytes(), loop).result()

        with request_limit(ask):
            return await asyncio.to_thread(make)

    async def _max_request_bytes(self) -> int | None:
        """Ask the service for its limit, each time, as it may be another one; None where it is unknown."""
        request, limits = health_pb2.HealthCheckRequest(), self._connection
        call = self._stubs["Check"](request, timeout=limits.timeout_s, metadata=limits.metadata)
        try:
            await call
        except grpc.RpcError:  # the request itself will say why
            return None
        return rpc.read_limit(await call.trailing_metadata())

    async def _state(self, end: float) -> str:
        """Return the state of the service, or why it is unknown. end: of the wait, `time.monotonic()`."""
        left_s = max(end - time.monotonic(), HEALTH_S)
        try:
            return await self._unary(lambda: check_health(min(self._connection.timeout_s, left_s)))
        except (NotReady, Cancelled) as error:
            return error.message

    async def _unary(self, make: Callable[[], UnaryCall[A]]) -> A:
        call = await self._made(make)
        timeout_s = self._connection.timeout_of(call.timeout_s)
        deadline = time.monotonic() + timeout_s
        with self._connection.calling(deadline, call.cancel):
            sent = self._stubs[call.rpc](call.request, timeout=timeout_s, metadata=self._connection.metadata)
            with _cancelling(sent, call.cancel):
                return call.read(await sent)

    async def _messages(self, request: AnalysisRequest[Any]) -> AsyncGenerator[analysis_pb2.AnalyzeResponse]:
        """Yield the messages of an Analyze, which is sent again while no service has begun it."""
        waits, message = pauses(), request.message()
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
                again_s = next(waits, None)
                if again_s is None or not is_refused(error) or not isinstance(failure, NotReady):
                    raise failure from None
            finally:
                call.cancel()  # where it is not over: the reader left
            await asyncio.sleep(again_s)


@contextmanager
def _cancelling(call: Any, cancel: Cancellation | None) -> Any:
    """Cancel a call of this event loop when `cancel` says so, from any thread, and raise Cancelled then."""
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
