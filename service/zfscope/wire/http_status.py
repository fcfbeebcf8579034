"""HTTP statuses of errors, by the reason that `wire.status` gives them over gRPC."""

from collections.abc import Mapping

from zfscope.wire.status import INTERNAL

# 499 is nginx's status for a client that closed the connection; no reader of the response remains.
HTTP_STATUSES: Mapping[str, int] = {
    "INPUT_ERROR": 400,
    "TOO_LARGE": 413,
    "NOT_FOUND": 404,
    "DAMAGED_MODEL": 500,
    "DAMAGED_INDEX": 500,
    "NOT_READY": 503,
    "TOO_MUCH_WORK": 429,
    "BUSY": 429,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "CANCELLED": 499,
    "TOO_LATE": 504,
    "RUNTIME_UNAVAILABLE": 503,
    INTERNAL.reason: 500,
}
