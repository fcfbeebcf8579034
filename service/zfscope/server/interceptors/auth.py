"""Token authentication: calls without a valid token are rejected before their request is read."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import structlog

from zfscope.errors import Unauthenticated
from zfscope.server.interceptors import Handler, Interceptor
from zfscope.server.interceptors.calls import abort
from zfscope.wire.credentials import AcceptedTokens

# Prefix of methods without authentication: load balancers and orchestrators have no token.
_PUBLIC_PREFIX = "/grpc.health.v1.Health/"
_log = structlog.get_logger("zfscope.server")


class AuthInterceptor(Interceptor):
    """Rejects calls, except health checks, without an accepted token in `authorization: Bearer TOKEN`."""

    def __init__(self, tokens: AcceptedTokens) -> None:
        """tokens: may be replaced while the service runs."""
        self._tokens = tokens

    def intercept(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """Return the handler, or one that rejects the call; unknown methods are rejected too."""
        if details.method.startswith(_PUBLIC_PREFIX):
            return handler
        values = [value for key, value in details.invocation_metadata or () if key == "authorization"]
        if self._is_valid(values):
            return handler
        return grpc.stream_stream_rpc_method_handler(_rejection(details.method, missing=not values))

    def _is_valid(self, values: list[str | bytes]) -> bool:
        """Return whether there is one token, and it is accepted."""
        if len(values) != 1 or not isinstance(values[0], str):
            return False
        scheme, _, token = values[0].partition(" ")
        return token.strip() in self._tokens and scheme.lower() == "bearer"


def _rejection(method: str, *, missing: bool) -> Callable[..., AsyncIterator[Any]]:
    """Return a handler, for any kind of RPC, that rejects the call before reading a request."""
    problem = "token missing" if missing else "unknown token"
    error = Unauthenticated(f"{problem}; send one as metadata, authorization: Bearer TOKEN")

    async def reject(requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        _log.info("rejected", method=method, code="UNAUTHENTICATED", peer=context.peer())
        await abort(context, error)
        yield

    return reject
