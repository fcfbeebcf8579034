"""Innermost interceptor, for zfscope's RPCs: admission, deadline, log, and the status of errors."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from zfscope.errors import InputError
from zfscope.server.deadline import DeadlineLimits, time_limit
from zfscope.server.interceptors import Context, Handler, Interceptor
from zfscope.server.interceptors.calls import abort, cancellation_code, send_initial_metadata
from zfscope.server.interceptors.responses import ResponseSender
from zfscope.server.lifecycle.admission import AdmissionControl
from zfscope.wire.status import analyzer_of, error_status

# Prefixes of the RPCs of zfscope, as opposed to health, reflection and channelz.
_ZFSCOPE_PREFIXES = ("/zfscope.", "/inference.")
# Readiness probes: answered even while no requests are admitted.
_PROBES = frozenset(
    f"/inference.GRPCInferenceService/{name}" for name in ("ServerLive", "ServerReady", "ModelReady")
)
_REASONS = {
    grpc.StatusCode.CANCELLED: "the client cancelled the call or disconnected",
    grpc.StatusCode.DEADLINE_EXCEEDED: "the client's deadline passed",
}
_PROBE_LEVEL = logging.DEBUG
_log = structlog.get_logger("zfscope.server")


class ErrorInterceptor(Interceptor):
    """Admits, times and logs the RPCs of zfscope, and turns their exceptions into gRPC statuses.

    Servicers raise domain exceptions; the call is aborted with the status of the exception's class, with rich
    error details and the request id. Health, reflection and channelz are unchanged.
    """

    def __init__(
        self,
        admission: AdmissionControl,
        deadlines: DeadlineLimits,
        *,
        max_send_bytes: int,
        access_log: bool = True,
    ) -> None:
        """max_send_bytes: maximum size of a response.

        access_log: log every call; False: only those that fail, and others at DEBUG.
        """
        self._admission = admission
        self._max_send_bytes = max_send_bytes
        self._deadlines = deadlines
        self._call_level = logging.INFO if access_log else logging.DEBUG

    def intercept(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """Return the handler, wrapped if the method is one of zfscope's."""
        method = details.method
        if handler is None or not method.startswith(_ZFSCOPE_PREFIXES):
            return handler
        respond = self._streaming if handler.response_streaming else self._unary
        # A single response is sent like those of a stream: with the return value of a unary handler, gRPC
        # would send it after the handler, outside of admission and deadline, for as long as nobody reads it.
        return grpc.unary_stream_rpc_method_handler(respond(handler, method))

    def _unary(self, handler: Handler, method: str) -> Callable[[bytes, Context], Awaitable[None]]:
        async def handle(data: bytes, context: Context) -> None:
            async with self._handle(method, context, len(data)) as sender:
                response = await handler.unary_unary(_parse(handler, data), context)
                await sender.send(handler.response_serializer(response))

        return handle

    def _streaming(self, handler: Handler, method: str) -> Callable[[bytes, Context], Awaitable[None]]:
        async def handle(data: bytes, context: Context) -> None:
            async with self._handle(method, context, len(data), stream=True) as sender:
                responses = handler.unary_stream(_parse(handler, data), context)
                async with aclosing(responses):  # otherwise the work would continue without a reader
                    async for response in responses:
                        await sender.send(handler.response_serializer(response))

        return handle

    @asynccontextmanager
    async def _handle(
        self, method: str, context: Context, size: int, *, stream: bool = False
    ) -> AsyncIterator[ResponseSender]:
        """Admit a request and log its outcome; abort it with the status of an exception from the block."""
        sender = ResponseSender(context, self._max_send_bytes)
        log = _log.bind(method=method, peer=context.peer(), bytes=size)
        started = time.perf_counter()
        level = _PROBE_LEVEL if method in _PROBES else self._call_level
        try:
            with nullcontext() if method in _PROBES else self._admission.admit(method, size, context.peer()):
                async with time_limit(self._deadlines.timeout_s(context, stream=stream)):
                    await send_initial_metadata(context)
                    yield sender
        except asyncio.CancelledError:
            code = cancellation_code(context)
            log.log(
                level, "cancelled", code=code.name, seconds=_seconds_since(started), reason=_REASONS[code]
            )
            raise
        except Exception as error:
            _log_error(log, error, started)
            # Behind an unread response, the status waits until the client reads it or disconnects.
            with self._admission.hold_unread(context.peer(), sender.unsent_bytes):
                await abort(context, error)
        log.log(level, "answered", code="OK", seconds=_seconds_since(started))


def _parse(handler: Handler, data: bytes) -> Any:
    """Deserialize a request; grpc itself would return INTERNAL for an invalid one. Raises InputError."""
    try:
        return handler.request_deserializer(data)
    except DecodeError as error:
        raise InputError(
            f"the request ({len(data)} bytes) is not a valid message of this method; check the proto"
        ) from error


def _log_error(log: Any, error: Exception, started: float) -> None:
    code = error_status(error).code
    if code is grpc.StatusCode.INTERNAL:
        log.error(
            "failed", code=code.name, seconds=_seconds_since(started), **analyzer_of(error), exc_info=error
        )
    elif code is grpc.StatusCode.DATA_LOSS:  # the store is damaged; its operator must repair it
        log.warning("failed", code=code.name, seconds=_seconds_since(started), reason=str(error))
    else:
        log.info("rejected", code=code.name, seconds=_seconds_since(started), reason=str(error)[:200])


def _seconds_since(started: float) -> float:
    return round(time.perf_counter() - started, 4)
