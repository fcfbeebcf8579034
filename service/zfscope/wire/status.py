"""Errors on the wire: one table of classes and statuses, read by the server and by the client.

A status carries the message for people, and for programs an ErrorInfo (domain `zfscope`, the class as
reason, the field), a BadRequest with the field that is wrong, and a RetryInfo where trying again helps.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from zfscope import errors
from zfscope.errors import ZfscopeError

FailedCall = grpc.Call | grpc.aio.AioRpcError
"""A failed call of either kind of client."""
DOMAIN = "zfscope"
REQUEST_ID = "x-request-id"
"""Metadata of a call: the caller's id for it, and in the answer the id that the service's log has."""
MAX_REQUEST_BYTES = "x-zfscope-max-request-bytes"
"""Trailing metadata of every answer: the service's `max_receive_bytes`."""
_MESSAGE_BYTES = 800
"""At most so much of a message travels: it is in the trailers twice, encoded, and those end at 8 KiB."""
_NAME_BYTES = 80
"""Maximum length of the name of an analyzer or a package, and of a version, in a status."""
_MAX_VIOLATIONS = 8
"""So many wrong fields are told of at most, in as many bytes, for the same reason."""


@dataclass(frozen=True)
class ErrorStatus:
    """What a class of errors becomes on the wire; retry_s is after how long to try again, 0 never."""

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
    errors.Cancelled: ErrorStatus(grpc.StatusCode.CANCELLED, "CANCELLED"),
    errors.TooLate: ErrorStatus(grpc.StatusCode.DEADLINE_EXCEEDED, "TOO_LATE"),
    errors.RuntimeUnavailable: ErrorStatus(grpc.StatusCode.UNAVAILABLE, "RUNTIME_UNAVAILABLE", retry_s=1),
}
_INTERNAL = ErrorStatus(grpc.StatusCode.INTERNAL, "INTERNAL")
_CLASSES = {kind.reason: error for error, kind in ERROR_STATUSES.items()}


def error_status(error: BaseException) -> ErrorStatus:
    """Find the kind of an error by its nearest class in the table; INTERNAL for any other."""
    return next((ERROR_STATUSES[base] for base in type(error).__mro__ if base in ERROR_STATUSES), _INTERNAL)


def status_of(error: BaseException, *, request_id: str) -> status_pb2.Status:
    """Return the status of an error.

    That of an INTERNAL one has the request's id and, of a failed analyzer, its name and package: no text of
    the exception.
    """
    kind = error_status(error)
    message, field = f"{_internal_message(error)}; its log has more under request id {request_id}", ""
    fields: Mapping[str, str] = {}
    names = analyzer_of(error)
    if kind is not _INTERNAL and isinstance(error, ZfscopeError):
        message, field = _truncate(error.message), error.field
        fields = error.fields or ({field: message} if field else {})
    status = status_pb2.Status(code=kind.code.value[0], message=_with_field(field, message))
    for detail in _details(kind, field, fields, {"request_id": request_id, **names}):
        status.details.add().Pack(detail)
    return status


def error_of(call: grpc.RpcError, *, connection: str = "") -> ZfscopeError:
    """Give the error that a failed call tells of: the same class, message and field as in the service.

    What the service did not say itself (no connection, a deadline, a message over a limit) becomes
    the class that fits its status. connection: what a message of a failed connection ends with, such as the
    proxy in between.
    """
    assert isinstance(call, FailedCall)
    info = info_of(call)
    if info is None:
        return _error_of_transport(call, connection)
    field = info.metadata.get("field", "")
    message = (call.details() or "").removeprefix(f"{field}: ")
    return _CLASSES.get(info.reason, ZfscopeError)(message, field=field)


def info_of(call: FailedCall) -> error_details_pb2.ErrorInfo | None:
    """Return the ErrorInfo that the service sent with a failed call; None if the status is not its own."""
    status = rpc_status.from_call(call)  # type: ignore[arg-type]  # it reads what both kinds have
    info = error_details_pb2.ErrorInfo()
    found = status is not None and any(detail.Unpack(info) for detail in status.details)
    return info if found and info.domain == DOMAIN else None


def analyzer_of(error: BaseException) -> dict[str, str]:
    """Return analyzer, package and version of an analyzer's failure, those that are known; else nothing."""
    if not isinstance(error, errors.AnalyzerFailed):
        return {}
    names = {"analyzer": error.analyzer, "package": error.package, "version": error.version}
    return {name: _truncate(value, _NAME_BYTES) for name, value in names.items() if value}


def _internal_message(error: BaseException) -> str:
    names = analyzer_of(error)
    if not names:
        return "the service failed"
    package = " ".join(names[name] for name in ("package", "version") if name in names) or "of no package"
    return f"the service failed: analyzer '{names.get('analyzer', '')}' ({package}) has a fault"


def _details(
    kind: ErrorStatus, field: str, fields: Mapping[str, str], names: Mapping[str, str]
) -> Iterator[Message]:
    metadata = {**names, **({"field": field} if field else {})}
    yield error_details_pb2.ErrorInfo(reason=kind.reason, domain=DOMAIN, metadata=metadata)
    yield error_details_pb2.RequestInfo(request_id=names["request_id"])
    if kind.code is grpc.StatusCode.INVALID_ARGUMENT and fields:
        violation = error_details_pb2.BadRequest.FieldViolation
        told = list(fields.items())[:_MAX_VIOLATIONS]
        yield error_details_pb2.BadRequest(
            field_violations=[
                violation(field=field, description=_truncate(words, _MESSAGE_BYTES // len(told)))
                for field, words in told
            ]
        )
    if kind.retry_s:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = kind.retry_s
        yield retry


def _with_field(field: str, message: str) -> str:
    """Name the field in front, unless the message does so itself."""
    return message if field in message else f"{field}: {message}"


def _truncate(message: str, most: int = _MESSAGE_BYTES) -> str:
    """Shorten what would not fit: a message quotes what was sent, of any length."""
    data = message.encode("utf-8", errors="replace")
    return message if len(data) <= most else data[:most].decode("utf-8", "ignore") + " ..."


_TRANSPORT: Mapping[grpc.StatusCode, type[ZfscopeError]] = {
    grpc.StatusCode.UNAVAILABLE: errors.NotReady,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Cancelled,
    grpc.StatusCode.CANCELLED: errors.Cancelled,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.TooMuchWork,
}


def _error_of_transport(call: FailedCall, connection: str) -> ZfscopeError:
    code = call.code()
    message = f"{code.name.lower().replace('_', ' ')}: {call.details()}"
    if connection and code is grpc.StatusCode.UNAVAILABLE:
        message = f"{message}; {connection}"
    return _TRANSPORT.get(code, ZfscopeError)(message)
