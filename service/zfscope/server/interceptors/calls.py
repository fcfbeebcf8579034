"""Outermost interceptor: request ids, and the outcome of each call in metrics and traces."""

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

# Seconds by which a client may notice its deadline, and cancel the call, before the service does.
_DEADLINE_MARGIN_S = 0.05
_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

Metadata = Sequence[tuple[str, str | bytes]]

_current: ContextVar["CallRecord"] = ContextVar("call")


@dataclass(eq=False)
class CallRecord:
    """Call in progress. failure: reason in the ErrorInfo of its error; empty without an error."""

    method: Method
    request_id: str
    failure: str = ""


class CallInterceptor(Interceptor):
    """Records all calls of known methods in metrics and traces, and assigns request ids.

    The request id is the client's `x-request-id` if it is valid, otherwise a new one. It appears in the
    call's log lines and in its initial and trailing metadata. The trailing metadata of a response also has
    the maximum request size.
    """

    def __init__(self, metrics: Metrics, *, max_receive_bytes: int) -> None:
        self._metrics = metrics
        self._limit = (MAX_REQUEST_BYTES, str(max_receive_bytes))

    def intercept(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """Return a handler that also records the call."""
        if handler is None:
            return None
        method = find_method(details.method)
        metadata: Metadata = tuple(details.invocation_metadata or ())

        def record(context: Context) -> Any:
            return self._record(CallRecord(method, request_id_of(metadata)), metadata, context)

        return _wrap(handler, record)

    @contextmanager
    def _record(self, call: CallRecord, metadata: Metadata, context: Context) -> Iterator[None]:
        """Record the start and the outcome of a call.

        Context variables are not reset at the end: they end with the task of the call.
        """
        _current.set(call)
        span, started = CallSpan(call.method, call.request_id, metadata), time.perf_counter()
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


def request_id_of(metadata: Metadata) -> str:
    """Return the client's request id if it is safe to log, otherwise a new one."""
    sent = next((value for key, value in metadata if key == REQUEST_ID), "")
    return sent if isinstance(sent, str) and _VALID_REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex[:16]


async def send_initial_metadata(context: Context) -> None:
    """Send the initial metadata of the current call, with its request id; call it before starting work.

    gRPC clients never retry a call after receiving initial metadata, so no work is started twice.
    """
    await wait_until_sent(context.send_initial_metadata(((REQUEST_ID, _current.get().request_id),)))


async def wait_until_sent(sending: Awaitable[None]) -> None:
    """Wait until a message is sent. Raises CancelledError if the client has disconnected."""
    try:
        await sending
    except grpc.aio.InternalError as error:  # the connection failed, not the service
        raise asyncio.CancelledError from error


async def abort(context: Context, error: Exception) -> None:
    """Abort the current call with the status of an error. Always raises AbortError."""
    call = _current.get()
    call.failure = error_status(error).reason
    status = rpc_status.to_status(status_of(error, request_id=call.request_id))
    metadata = (*status.trailing_metadata, (REQUEST_ID, call.request_id))
    await wait_until_sent(context.abort(status.code, status.details, metadata))


# Status codes by number.
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _code_of(error: BaseException, context: Context) -> grpc.StatusCode:
    """Return the status code of a call that raised."""
    if isinstance(error, grpc.aio.AbortError):
        code: Any = context.code()
        return code if isinstance(code, grpc.StatusCode) else _CODES[code]
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return cancellation_code(context)
    return grpc.StatusCode.UNKNOWN


def cancellation_code(context: Context) -> grpc.StatusCode:
    """Return the status code of a cancelled call: DEADLINE_EXCEEDED or CANCELLED.

    gRPC does not report the cause of a cancellation, so it is inferred from the time left. Whether the client
    cancelled the call or disconnected is unknown.
    """
    left_s: Any = context.time_remaining()
    late = left_s is not None and left_s <= _DEADLINE_MARGIN_S
    return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED


def _wrap(handler: Handler, record: Callable[[Context], Any]) -> Handler:
    """Return a handler of the same kind that runs inside the context manager `record(context)`."""
    streams = ("stream" if handler.request_streaming else "unary", handler.response_streaming)
    kind = f"{streams[0]}_{'stream' if streams[1] else 'unary'}"
    method = getattr(handler, kind)

    async def respond(request: Any, context: Context) -> Any:
        with record(context):
            return await method(request, context)

    async def respond_stream(request: Any, context: Context) -> AsyncIterator[Any]:
        with record(context):
            async for response in method(request, context):
                yield response

    wrapped: Handler = getattr(grpc, f"{kind}_rpc_method_handler")(
        respond_stream if inspect.isasyncgenfunction(method) else respond,
        handler.request_deserializer,
        handler.response_serializer,
    )
    return wrapped
