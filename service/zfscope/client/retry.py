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
from zfscope.server.status import REQUEST_ID, error_of, info_of

_MARGIN_S = 0.5
"""This close to a call's deadline, a CANCELLED may be the deadline, noticed by the service first."""


@cache
def shipped() -> Mapping[str, Any]:
    """Return the service config that zfscope ships, for clients in any language."""
    config: Mapping[str, Any] = json.loads(
        files("zfscope.client").joinpath("service_config.json").read_text()
    )
    return config


def failure_of(call: grpc.RpcError, *, deadline: float, closed: bool, connection: str = "") -> ZfscopeError:
    """Return the error of a failed call.

    deadline: of the call, in `time.monotonic()` seconds. closed: whether this client was closed, which
    cancels its calls. connection: see `error_of`.

    A service in its last moments resets calls, which gRPC reports as CANCELLED. If this process did not
    cancel the call, and its deadline has not passed, that is NotReady.
    """
    assert isinstance(call, grpc.Call)
    reset = call.code() is grpc.StatusCode.CANCELLED and info_of(call) is None
    if reset and not closed and time.monotonic() < deadline - _MARGIN_S:
        return NotReady("the service ended the call without an answer: it is shutting down; try again")
    return error_of(call, connection=connection)


def is_begun(call: grpc.RpcError) -> bool:
    """Return whether the service may have begun the work of a failed call, so that it is not sent again.

    It sends initial metadata, with the request id, when it has admitted a call and before it begins.
    """
    assert isinstance(call, grpc.Call)
    return any(key == REQUEST_ID for key, _ in call.initial_metadata() or ())


def pauses() -> Iterator[float]:
    """Yield the seconds to wait before each further attempt of a call, by the shipped retry policy.

    Each is up to a fifth longer or shorter at random, so that clients do not come back all at once.
    """
    policy = next(entry["retryPolicy"] for entry in shipped()["methodConfig"] if "retryPolicy" in entry)
    pause_s, longest_s = (float(policy[name].removesuffix("s")) for name in ("initialBackoff", "maxBackoff"))
    for _ in range(policy["maxAttempts"] - 1):
        yield min(pause_s, longest_s) * random.uniform(0.8, 1.2)  # noqa: S311  # no secret depends on it
        pause_s *= policy["backoffMultiplier"]
