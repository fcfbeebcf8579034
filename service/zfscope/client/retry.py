"""Failed calls: the error each one means, and whether and when it is sent again."""

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

_RESET_STATUSES = {
    grpc.StatusCode.CANCELLED: "",
    grpc.StatusCode.INTERNAL: "RST_STREAM",
    grpc.StatusCode.UNKNOWN: "END_STREAM",
}
"""Statuses that gRPC gives to a call that the peer ended without one, and a part of their details."""
_MARGIN_S = 0.5
"""This close to a call's deadline, a CANCELLED may be the deadline, noticed by the service first."""


@cache
def shipped_service_config() -> Mapping[str, Any]:
    """Return the service config that zfscope ships, for clients in any language."""
    config: Mapping[str, Any] = json.loads(
        files("zfscope.client").joinpath("service_config.json").read_text()
    )
    return config


def failure_of(call: grpc.RpcError, *, deadline: float, closed: bool, connection: str = "") -> ZfscopeError:
    """Return the error of a failed call.

    deadline: of the call, in `time.monotonic()` seconds. closed: whether this client was closed, which
    cancels its calls. connection: see `error_of`.

    A service in its last moments resets calls, which gRPC reports as CANCELLED; a proxy whose service is gone
    ends them with other statuses. If this process did not cancel the call, and its deadline has not passed,
    that is NotReady.
    """
    assert isinstance(call, FailedCall)
    if _is_reset(call) and not closed and time.monotonic() < deadline - _MARGIN_S:
        reason = f"{call.code().name.lower()}: {call.details()}"
        return NotReady(f"the service, or a proxy, went away without an answer; try again ({reason})")
    return error_of(call, connection=connection)


def is_refused(call: grpc.RpcError) -> bool:
    """Return whether a failed call can be sent again, because the service has not begun its work.

    The service sends initial metadata, with the request id, when it has admitted a call and before it begins.
    """
    assert isinstance(call, FailedCall)
    if call.code().name not in _policy()["retryableStatusCodes"]:
        return False
    return all(key != REQUEST_ID for key, _ in call.initial_metadata() or ())


def _is_reset(call: FailedCall) -> bool:
    """Return whether a call was ended by HTTP/2 itself, and not by an answer of the service."""
    trace = _RESET_STATUSES.get(call.code())
    return trace is not None and trace in (call.details() or "") and info_of(call) is None


def _policy() -> Mapping[str, Any]:
    """Return the retry policy of the shipped service config."""
    entries = shipped_service_config()["methodConfig"]
    policy: Mapping[str, Any] = next(entry["retryPolicy"] for entry in entries if "retryPolicy" in entry)
    return policy


def pauses() -> Iterator[float]:
    """Yield the seconds to wait before each retry of a call, as the shipped retry policy has them.

    Each is up to a fifth longer or shorter at random, so that clients do not come back all at once.
    """
    policy = _policy()
    pause_s, longest_s = (float(policy[name].removesuffix("s")) for name in ("initialBackoff", "maxBackoff"))
    for _ in range(policy["maxAttempts"] - 1):
        yield min(pause_s, longest_s) * random.uniform(0.8, 1.2)  # noqa: S311  # no secret depends on it
        pause_s *= policy["backoffMultiplier"]
