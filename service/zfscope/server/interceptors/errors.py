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
from zfscope.server.interceptors.calls import abort, cancellation_code, send_initial_metadata, wait_until_sent
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
# Log levels of probes and of other calls.
_PROBE_LEVEL, _CALL_LEVEL = logging.DEBUG, logging.INFO
_log = structlog.get_logger("zfscope.server")


class ErrorInterceptor(Interceptor):
    """Admits, times and logs the RPCs of zfscope, and turns their exceptions into gRPC statuses.

    Servicers raise domain exceptions; the call is aborted with the status of the exception's class, with rich
    error details and the request id. Health, reflection and channelz are unchanged.
    """

    def __init__(self, admission: AdmissionControl, deadlines: DeadlineLimits) -> None:
        self._admission = admission
        self._deadlines = deadlines

    def intercept(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """Return the handler, wrapped if the method is one of zfscope's."""
        method = details.method
        if handler is None or not method.startswith(_ZFSCOPE_PREFIXES):
            return handler
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(handler, method), response_serializer=handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler, method), response_serializer=handler.response_serializer
        )

    def _unary(self, handler: Handler, method: str) -> Callable[[bytes, Context], Awaitable[Any]]:
        async def handle(data: bytes, context: Context) -> Any:
            async with self._handle(method, context, len(data)):
                return await handler.unary_unary(_parse(handler, data), context)

        return handle

    def _streaming(self, handler: Handler, method: str) -> Callable[[bytes, Context], Awaitable[None]]:
        async def handle(data: bytes, context: Context) -> None:
            async with self._handle(method, context, len(data), stream=True):
                responses = handler.unary_stream(_parse(handler, data), context)
                async with aclosing(responses):  # otherwise the work would continue without a reader
                    async for response in responses:
                        # Awaited here, so that the deadline also ends a stream whose reader stalls.
                        await wait_until_sent(context.write(response))

        return handle

    @asynccontextmanager
    async def _handle(
        self, method: str, context: Context, size: int, *, stream: bool = False
    ) -> AsyncIterator[None]:
        """Admit a request and log its outcome; abort it with the status of an exception from the block."""
        log, started = _log.bind(method=method), time.perf_counter()
        level = _PROBE_LEVEL if method in _PROBES else _CALL_LEVEL
        try:
            with nullcontext() if method in _PROBES else self._admission.admit(method, size):
                async with time_limit(self._deadlines.timeout_s(context, stream=stream)):
                    await send_initial_metadata(context)
                    yield
        except asyncio.CancelledError:
            code = cancellation_code(context)
            log.log(
                level, "cancelled", code=code.name, seconds=_seconds_since(started), reason=_REASONS[code]
            )
            raise
        except Exception as error:
            _log_error(log, error, started)
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
