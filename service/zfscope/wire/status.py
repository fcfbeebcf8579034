"""Mapping between exceptions and gRPC statuses, used by server and client.

A status has a readable message and details for programs: an ErrorInfo (domain `zfscope`, the exception class
as reason, the field), a BadRequest with the invalid fields, and a RetryInfo if a retry can succeed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from zfscope import errors
from zfscope.errors import ZfscopeError

# A failed call of the synchronous or asyncio client.
FailedCall = grpc.Call | grpc.aio.AioRpcError
DOMAIN = "zfscope"
# Request metadata: id chosen by the caller. Response metadata: id in the service's log.
REQUEST_ID = "x-request-id"
# Trailing metadata of every response: the service's `max_receive_bytes`.
MAX_REQUEST_BYTES = "x-zfscope-max-request-bytes"
# Trailing metadata of a failed call: its google.rpc.Status.
_DETAILS = "grpc-status-details-bin"
# Maximum length of a message: the trailers contain it twice, encoded, and are limited to 8 KiB.
_MESSAGE_BYTES = 800
# Maximum length of an analyzer's or package's name, and of a version, in a status.
_NAME_BYTES = 80
# Maximum number of violations in a BadRequest; they share the byte budget of a message.
_MAX_VIOLATIONS = 8


@dataclass(frozen=True)
class ErrorStatus:
    """Status of an exception class. retry_s: suggested delay before a retry in seconds; 0 for no retry."""

    code: grpc.StatusCode
    reason: str
    retry_s: int = 0


ERROR_STATUSES: Mapping[type[ZfscopeError], ErrorStatus] = {
    errors.InputError: ErrorStatus(grpc.StatusCode.INVALID_ARGUMENT, "INPUT_ERROR"),
    errors.TooLarge: ErrorStatus(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE"),
    errors.NotFound: ErrorStatus(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    errors.DamagedModel: ErrorStatus(grpc.StatusCode.DATA_LOSS, "DAMAGED_MODEL"),
    errors.DamagedIndex: ErrorStatus(grpc.StatusCode.DATA_LOSS, "DAMAGED_INDEX"),
    errors.NotReady: ErrorStatus(grpc.StatusCode.UNAVAILABLE, "NOT_READY", retry_s=1),
    errors.TooMuchWork: ErrorStatus(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MUCH_WORK"),
    errors.Busy: ErrorStatus(grpc.StatusCode.RESOURCE_EXHAUSTED, "BUSY", retry_s=1),
    errors.Unauthenticated: ErrorStatus(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    errors.Forbidden: ErrorStatus(grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN"),
    errors.Cancelled: ErrorStatus(grpc.StatusCode.CANCELLED, "CANCELLED"),
    errors.TooLate: ErrorStatus(grpc.StatusCode.DEADLINE_EXCEEDED, "TOO_LATE"),
    errors.RuntimeUnavailable: ErrorStatus(grpc.StatusCode.UNAVAILABLE, "RUNTIME_UNAVAILABLE", retry_s=1),
}
INTERNAL = ErrorStatus(grpc.StatusCode.INTERNAL, "INTERNAL")
_CLASSES = {kind.reason: error for error, kind in ERROR_STATUSES.items()}


def error_status(error: BaseException) -> ErrorStatus:
    """Return the status for the closest base class in the table, INTERNAL if none matches."""
    return next((ERROR_STATUSES[base] for base in type(error).__mro__ if base in ERROR_STATUSES), INTERNAL)


def status_of(error: BaseException, *, request_id: str) -> status_pb2.Status:
    """Return the status message for an exception.

    An INTERNAL status contains only the request id and, for a failed analyzer, its name and package; the text
    of the exception is not disclosed.
    """
    kind = error_status(error)
    message, field = internal_message(error, request_id), ""
    fields: Mapping[str, str] = {}
    names = analyzer_of(error)
    if kind is not INTERNAL and isinstance(error, ZfscopeError):
        message, field = _truncate(error.message), error.field
        fields = error.fields or ({field: message} if field else {})
    status = status_pb2.Status(code=kind.code.value[0], message=_with_field(field, message))
    for detail in _details(kind, field, fields, {"request_id": request_id, **names}):
        status.details.add().Pack(detail)
    return status


def error_of(call: grpc.RpcError, *, connection: str = "") -> ZfscopeError:
    """Return the exception for a failed call: same class, message and field as raised in the service.

    Failures that did not come from the service (no connection, deadline, message too large) become the class
    that matches their status. connection: text appended to the message of a failed connection, such as the
    proxy in use.
    """
    assert isinstance(call, FailedCall)
    info, status = _sent(call)
    if info is None:
        return _error_of_transport(call, connection)
    field = info.metadata.get("field", "")
    message = status.message.removeprefix(f"{field}: ")
    return _CLASSES.get(info.reason, ZfscopeError)(message, field=field)


def info_of(call: FailedCall) -> error_details_pb2.ErrorInfo | None:
    """Return the ErrorInfo sent by the service with a failed call; None if the status is from elsewhere."""
    return _sent(call)[0]


def analyzer_of(error: BaseException) -> dict[str, str]:
    """Return the known analyzer, package and version of an AnalyzerFailed; empty for other errors."""
    if not isinstance(error, errors.AnalyzerFailed):
        return {}
    names = {"analyzer": error.analyzer, "package": error.package, "version": error.version}
    return {name: _truncate(value, _NAME_BYTES) for name, value in names.items() if value}


def internal_message(error: BaseException, request_id: str, *, process: str = "the service") -> str:
    """Return the message for an INTERNAL error, which refers to the log of a process."""
    names = analyzer_of(error)
    log = f"log for request id {request_id}"
    if not names:
        return f"{process} failed; see its {log}"
    package = " ".join(names[name] for name in ("package", "version") if name in names) or "unknown package"
    return f"analyzer '{names.get('analyzer', '')}' ({package}) failed; see {process}'s {log}"


def _sent(call: FailedCall) -> tuple[error_details_pb2.ErrorInfo | None, status_pb2.Status]:
    """Return the ErrorInfo and the status that the service sent with a failed call.

    `grpc_status.from_call` raises ValueError if that status differs from the one of the call. It may: the
    deadline of a call can pass while the status arrives ("Stream removed"), and a proxy can replace its
    message.
    """
    trailers = call.trailing_metadata() or ()
    sent = next((value for key, value in trailers if key == _DETAILS), b"")
    info = error_details_pb2.ErrorInfo()
    try:
        status = status_pb2.Status.FromString(sent)
        found = any(detail.Unpack(info) for detail in status.details)
    except DecodeError:
        return None, status_pb2.Status()
    return (info if found and info.domain == DOMAIN else None), status


def _details(
    kind: ErrorStatus, field: str, fields: Mapping[str, str], names: Mapping[str, str]
) -> Iterator[Message]:
    metadata = {**names, **({"field": field} if field else {})}
    yield error_details_pb2.ErrorInfo(reason=kind.reason, domain=DOMAIN, metadata=metadata)
    yield error_details_pb2.RequestInfo(request_id=names["request_id"])
    if kind.code is grpc.StatusCode.INVALID_ARGUMENT and fields:
        violation = error_details_pb2.BadRequest.FieldViolation
        violations = list(fields.items())[:_MAX_VIOLATIONS]
        yield error_details_pb2.BadRequest(
            field_violations=[
                violation(field=field, description=_truncate(message, _MESSAGE_BYTES // len(violations)))
                for field, message in violations
            ]
        )
    if kind.retry_s:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = kind.retry_s
        yield retry


def _with_field(field: str, message: str) -> str:
    """Prefix the message with the field unless it already names it."""
    return message if field in message else f"{field}: {message}"


def _truncate(message: str, max_bytes: int = _MESSAGE_BYTES) -> str:
    """Truncate a message, which may quote input of any length."""
    data = message.encode("utf-8", errors="replace")
    return message if len(data) <= max_bytes else data[:max_bytes].decode("utf-8", "ignore") + " ..."


# Classes of failures that did not come from the service.
TRANSPORT: Mapping[grpc.StatusCode, type[ZfscopeError]] = {
    grpc.StatusCode.UNAVAILABLE: errors.NotReady,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Cancelled,
    grpc.StatusCode.CANCELLED: errors.Cancelled,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.TooMuchWork,
}


# How gRPC refuses a message over max_receive_bytes, before the service sees it: its size, and the limit.
_OVERSIZED = re.compile(r"SERVER: Received message larger than max \((\d+) vs\. (\d+)\)")


def _error_of_transport(call: FailedCall, connection: str) -> ZfscopeError:
    code = call.code()
    if oversized := _OVERSIZED.fullmatch(call.details() or ""):
        size, allowed = map(int, oversized.groups())
        limit = f"this service accepts at most {allowed:,} in a request (its max_receive_bytes)"
        return errors.TooMuchWork(f"the request has {size:,} bytes; {limit}: send fewer or smaller images")
    message = f"{code.name.lower().replace('_', ' ')}: {call.details()}"
    if connection and code is grpc.StatusCode.UNAVAILABLE:
        message = f"{message}; {connection}"
    return TRANSPORT.get(code, ZfscopeError)(message)
