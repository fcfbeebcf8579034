"""The outermost interceptor: request ids, and how calls ended, for the log, the metrics and the traces."""

import asyncio
import inspect
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_status import rpc_status

from zfscope.server.interceptors import Context, Handler, Interceptor
from zfscope.server.protos import Method, find_method
from zfscope.server.telemetry.metrics import Metrics
from zfscope.server.telemetry.tracing import CallSpan
from zfscope.wire.status import MAX_REQUEST_BYTES, REQUEST_ID, error_status, status_of

# A client may notice its deadline, and cancel the call, this much before the service would.
_MARGIN_S = 0.05
_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

Metadata = Sequence[tuple[str, str | bytes]]

_current: ContextVar["CallRecord"] = ContextVar("call")


@dataclass(eq=False)
class CallRecord:
    """A call. failure: the reason of its ErrorInfo; empty without one."""

    method: Method
    request_id: str
    failure: str = ""


class CallInterceptor(Interceptor):
    """Records every call of a method that exists, in the metrics and the traces.

    A call has a request id, the caller's own `x-request-id` where that is sane, which its log lines and its
    trailing metadata carry. That of an answer also has the size limit of requests.
    """

    def __init__(self, metrics: Metrics, *, max_receive_bytes: int) -> None:
        self._metrics = metrics
        self._limit = (MAX_REQUEST_BYTES, str(max_receive_bytes))

    def intercept(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """Return the handler, recorded."""
        if handler is None:
            return None
        method = find_method(details.method)
        sent: Metadata = tuple(details.invocation_metadata or ())

        def record(context: Context) -> Any:
            return self._record(CallRecord(method, request_id_of(sent)), sent, context)

        return _wrap(handler, record)

    @contextmanager
    def _record(self, call: CallRecord, sent: Metadata, context: Context) -> Iterator[None]:
        """Record that a call begins, and how it ended.

        Nothing is put back at the end: a call has a task of its own, and what is set in it ends with it.
        """
        _current.set(call)
        span, started = CallSpan(call.method, call.request_id, sent), time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=call.request_id, **span.log_fields)
        context.set_trailing_metadata(((REQUEST_ID, call.request_id), self._limit))
        self._metrics.record_start(call.method)
        code = grpc.StatusCode.UNKNOWN
        try:
            yield
            code = grpc.StatusCode.OK
        except BaseException as error:
            code = _code_of(error, context)
            raise
        finally:
            seconds = time.perf_counter() - started
            failure = "" if code is grpc.StatusCode.OK else call.failure or code.name
            self._metrics.record_end(call.method, code.name, seconds=seconds, failure=failure)
            span.end(code, failure)


def request_id_of(sent: Metadata) -> str:
    """Take a caller's id for a request, if it can stand in a log as it is; else make one up."""
    given = next((value for key, value in sent if key == REQUEST_ID), "")
    return given if isinstance(given, str) and _VALID_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex[:16]


async def send_initial_metadata(context: Context) -> None:
    """Send the initial metadata of the current call, with its request id: its work begins after this.

    A gRPC client never sends a call again once it has initial metadata, so no work is begun twice.
    """
    await wait_until_sent(context.send_initial_metadata(((REQUEST_ID, _current.get().request_id),)))


async def wait_until_sent(sending: Awaitable[None]) -> None:
    """Wait until something is sent. Raises CancelledError where the caller is gone."""
    try:
        await sending
    except grpc.aio.InternalError as error:  # a fault of the connection, not of the service
        raise asyncio.CancelledError from error


async def abort(context: Context, error: Exception) -> None:
    """End the current call with the status that an error has; raises AbortError."""
    call = _current.get()
    call.failure = error_status(error).reason
    status = rpc_status.to_status(status_of(error, request_id=call.request_id))
    metadata = (*status.trailing_metadata, (REQUEST_ID, call.request_id))
    await wait_until_sent(context.abort(status.code, status.details, metadata))


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _code_of(error: BaseException, context: Context) -> grpc.StatusCode:
    """Return the status of a call that raised."""
    if isinstance(error, grpc.aio.AbortError):
        code: Any = context.code()
        return code if isinstance(code, grpc.StatusCode) else _CODES[code]
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return cancellation_code(context)
    return grpc.StatusCode.UNKNOWN


def cancellation_code(context: Context) -> grpc.StatusCode:
    """Return the status of a call that was cancelled: by its deadline, or by its client.

    gRPC reports neither which it was, nor whether the client cancelled the call or its connection ended.
    """
    left_s: Any = context.time_remaining()
    late = left_s is not None and left_s <= _MARGIN_S
    return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED


def _wrap(handler: Handler, record: Callable[[Context], Any]) -> Handler:
    """Return a handler of the same kind whose function runs inside a context manager."""
    streams = ("stream" if handler.request_streaming else "unary", handler.response_streaming)
    kind = f"{streams[0]}_{'stream' if streams[1] else 'unary'}"
    whole = getattr(handler, kind)

    async def answer(request: Any, context: Context) -> Any:
        with record(context):
            return await whole(request, context)

    async def answers(request: Any, context: Context) -> AsyncIterator[Any]:
        with record(context):
            async for found in whole(request, context):
                yield found

    made: Handler = getattr(grpc, f"{kind}_rpc_method_handler")(
        answers if inspect.isasyncgenfunction(whole) else answer,
        handler.request_deserializer,
        handler.response_serializer,
    )
    return made
