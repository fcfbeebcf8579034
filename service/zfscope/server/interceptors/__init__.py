"""Interceptors of all RPCs, outermost first: `calls`, `auth`, `errors`."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

# A grpc.RpcMethodHandler, or None for an unknown method; the stubs describe only synchronous handlers.
Handler = Any
Context = grpc.aio.ServicerContext[Any, Any]


class Interceptor(grpc.aio.ServerInterceptor):
    """Base class of interceptors that wrap or replace the handler of a method."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Look up the method's handler and pass it to `intercept`."""
        return self.intercept(await continuation(handler_call_details), handler_call_details)

    @abstractmethod
    def intercept(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """Return the handler of the call; None makes gRPC return UNIMPLEMENTED."""
