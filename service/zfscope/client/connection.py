"""Settings of a connection to a service, and translation of its errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from zfscope.cancellation import Cancellation
from zfscope.client.access import Access
from zfscope.client.calls import validate_timeout_s
from zfscope.client.retry import failure_of
from zfscope.client.target import Target, parse_target
from zfscope.errors import Cancelled, ZfscopeError
from zfscope.wire.settings import read_settings

_CLOSED = "the client is closed; create a new one"


class Connection:
    """Address, credentials and time limit of a connection to a service."""

    def __init__(self, address: str, *, timeout_s: float | None, access: Access | None) -> None:
        """See `Client`."""
        access = access or read_settings(Access)
        self.target: Target = parse_target(address)
        self.credentials = access.credentials_for(self.target)
        self.server_name = access.tls_server_name or self.target.server_name
        self.metadata = access.metadata(self.target, tls=self.credentials is not None)
        self.timeout_s = validate_timeout_s(timeout_s)
        self.closed = False

    def timeout_of(self, timeout_s: float | None) -> float:
        """Return the time limit of a call in seconds, by default the connection's. Raises InputError."""
        return self.timeout_s if timeout_s is None else validate_timeout_s(timeout_s)

    @contextmanager
    def calling(self, deadline: float, cancel: Cancellation | None = None) -> Iterator[None]:
        """Translate gRPC's errors of one attempt of a call; see `failure`. Raises Cancelled if closed."""
        if self.closed:
            raise Cancelled(_CLOSED)
        try:
            yield
        except grpc.RpcError as error:
            raise self.failure(error, deadline, cancel) from None
        except (ValueError, grpc.aio.UsageError) as error:  # closed during the call
            if not self.closed:
                raise
            raise Cancelled(_CLOSED) from error

    def failure(
        self, error: grpc.RpcError, deadline: float, cancel: Cancellation | None = None
    ) -> ZfscopeError:
        """Return the exception for a failed call; a failed connection names the proxy in use.

        deadline: deadline of the call, in `time.monotonic()` seconds.
        """
        ended_here = self.closed or (cancel is not None and cancel.cancelled)
        return failure_of(
            error, deadline=deadline, closed=ended_here, connection=str(self.target.proxy or "")
        )
