"""Failed calls: translation into exceptions, and the retry policy."""

import json
import random
import time
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import grpc

from zfscope.errors import NotReady, ZfscopeError
from zfscope.wire.status import REQUEST_ID, FailedCall, error_of, info_of

# Statuses that gRPC reports if the peer ended a call without sending one, and a part of their details.
_RESET_STATUSES = {
    grpc.StatusCode.CANCELLED: "",
    grpc.StatusCode.INTERNAL: "RST_STREAM",
    grpc.StatusCode.UNKNOWN: "END_STREAM",
}
# Within this time of its deadline, a CANCELLED call may have expired: the service can notice it first.
_MARGIN_S = 0.5


@cache
def shipped_service_config() -> Mapping[str, Any]:
    """Return the gRPC service config shipped with zfscope, usable by clients in any language."""
    config: Mapping[str, Any] = json.loads(
        files("zfscope.client").joinpath("service_config.json").read_text()
    )
    return config


def failure_of(call: grpc.RpcError, *, deadline: float, closed: bool, connection: str = "") -> ZfscopeError:
    """Return the exception for a failed call.

    deadline: deadline of the call, in `time.monotonic()` seconds. closed: whether this client was closed,
    which cancels its calls. connection: see `error_of`.

    A service that shuts down resets its calls, which gRPC reports as CANCELLED; a proxy that lost its service
    ends them with other statuses. Unless this process cancelled the call or its deadline has passed, both
    become NotReady.
    """
    assert isinstance(call, FailedCall)
    if _is_reset(call) and not closed and time.monotonic() < deadline - _MARGIN_S:
        reason = f"{call.code().name.lower()}: {call.details()}"
        return NotReady(
            f"the service or a proxy closed the connection without a response; try again ({reason})"
        )
    return error_of(call, connection=connection)


def is_retryable(call: grpc.RpcError) -> bool:
    """Return whether a failed call can be retried because the service has not started it.

    The service sends initial metadata with the request id after it admits a call and before it starts it.
    """
    assert isinstance(call, FailedCall)
    if call.code().name not in _policy()["retryableStatusCodes"]:
        return False
    return all(key != REQUEST_ID for key, _ in call.initial_metadata() or ())


def _is_reset(call: FailedCall) -> bool:
    """Return whether a call was ended by the HTTP/2 connection rather than by a response of the service."""
    trace = _RESET_STATUSES.get(call.code())
    return trace is not None and trace in (call.details() or "") and info_of(call) is None


def _policy() -> Mapping[str, Any]:
    """Return the retry policy of the shipped service config."""
    entries = shipped_service_config()["methodConfig"]
    policy: Mapping[str, Any] = next(entry["retryPolicy"] for entry in entries if "retryPolicy" in entry)
    return policy


def retry_delays() -> Iterator[float]:
    """Yield the delay in seconds before each retry of a call, as in the shipped retry policy.

    Each is varied by up to 20 % at random, so that clients do not retry all at once.
    """
    policy = _policy()
    delay_s, max_delay_s = (
        float(policy[name].removesuffix("s")) for name in ("initialBackoff", "maxBackoff")
    )
    for _ in range(policy["maxAttempts"] - 1):
        yield min(delay_s, max_delay_s) * random.uniform(0.8, 1.2)  # noqa: S311  # no secret depends on it
        delay_s *= policy["backoffMultiplier"]
