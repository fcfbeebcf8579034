"""A connection to a service: address, credentials, time limit, and the errors of failed calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from zfscope.cancellation import Cancellation
from zfscope.client.access import Access
from zfscope.client.retry import failure_of
from zfscope.client.target import Target, parse_target
from zfscope.errors import Cancelled, InputError, ZfscopeError
from zfscope.wire.settings import read_settings

# Longer time limits mean this one, three years: gRPC cannot tell much longer ones from the past.
_MAX_TIMEOUT_S = 1e8
_CLOSED = "the client is closed; open another one"


def validate_timeout_s(timeout_s: float | None) -> float:
    """Return a time limit in seconds; None and infinity mean no limit. Raises InputError for others."""
    given: Any = timeout_s
    if given is None:
        return _MAX_TIMEOUT_S
    if not isinstance(given, int | float) or not given > 0:
        raise InputError(f"timeout_s is {given!r}; allowed are seconds above 0", field="timeout_s")
    return min(given, _MAX_TIMEOUT_S)


class Connection:
    """Address, credentials and limits of a connection to a service."""

    def __init__(self, address: str, *, timeout_s: float | None, access: Access | None) -> None:
        """See `Client`."""
        access = access or read_settings(Access)
        self.target: Target = parse_target(address)
        self.credentials = access.credentials_for(self.target)
        self.server_name = access.tls_server_name
        self.metadata = access.metadata(self.target, tls=self.credentials is not None)
        self.timeout_s = validate_timeout_s(timeout_s)
        self.closed = False

    def timeout_of(self, timeout_s: float | None) -> float:
        """Return the time limit of a call: its own, or else the connection's. Raises InputError."""
        return self.timeout_s if timeout_s is None else validate_timeout_s(timeout_s)

    @contextmanager
    def calling(self, deadline: float, cancel: Cancellation | None = None) -> Iterator[None]:
        """Translate gRPC's errors of one attempt of a call; see `failure`. Raises Cancelled once closed."""
        if self.closed:
            raise Cancelled(_CLOSED)
        try:
            yield
        except grpc.RpcError as error:
            raise self.failure(error, deadline, cancel) from None
        except (ValueError, grpc.aio.UsageError) as error:  # it was closed in the meantime
            if not self.closed:
                raise
            raise Cancelled(_CLOSED) from error

    def failure(
        self, error: grpc.RpcError, deadline: float, cancel: Cancellation | None = None
    ) -> ZfscopeError:
        """Return the error of a failed call, with the proxy that may be what was not reached.

        deadline: of the call, in `time.monotonic()` seconds.
        """
        ended_here = self.closed or (cancel is not None and cancel.cancelled)
        return failure_of(
            error, deadline=deadline, closed=ended_here, connection=str(self.target.proxy or "")
        )
