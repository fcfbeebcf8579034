"""The interceptor that asks for a token: a call without a known one is refused before its request is read."""

import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from typing import Any

import grpc
import structlog
from pydantic import SecretStr

from zfscope.errors import Unauthenticated
from zfscope.server.interceptors import Handler, Interceptor
from zfscope.server.interceptors.calls import abort

# Methods that need no token: load balancers and orchestrators have none.
_PUBLIC_METHODS = "/grpc.health.v1.Health/"
_log = structlog.get_logger("zfscope.server")


class AuthInterceptor(Interceptor):
    """Lets RPCs pass that carry `authorization: Bearer TOKEN` with one of several tokens, and health."""

    def __init__(self, tokens: Sequence[SecretStr]) -> None:
        self._digests = [_digest(token.get_secret_value()) for token in tokens]

    def intercept(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """Return the handler, or one that refuses, for a method that does not exist too."""
        if details.method.startswith(_PUBLIC_METHODS):
            return handler
        sent = [value for key, value in details.invocation_metadata or () if key == "authorization"]
        if self._is_valid(sent):
            return handler
        return grpc.stream_stream_rpc_method_handler(_rejecting(details.method, given=bool(sent)))

    def _is_valid(self, sent: list[str | bytes]) -> bool:
        """Compare with every token in the same time, whichever it is and however long."""
        if len(sent) != 1 or not isinstance(sent[0], str):
            return False
        scheme, _, token = sent[0].partition(" ")
        digest = _digest(token.strip())
        same = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(same) and scheme.lower() == "bearer"


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _rejecting(method: str, *, given: bool) -> Callable[..., AsyncIterator[Any]]:
    """Return a handler of any kind of RPC that refuses it before it reads a request."""
    what = "unknown token" if given else "token missing"
    error = Unauthenticated(f"{what}; send one as metadata, authorization: Bearer TOKEN")

    async def refuse(requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        _log.info("refused", method=method, code="UNAUTHENTICATED", peer=context.peer())
        await abort(context, error)
        yield

    return refuse
