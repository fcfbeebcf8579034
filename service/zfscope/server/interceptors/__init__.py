"""The interceptors of all RPCs, the outermost first: `calls`, `auth`, `errors`."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

# A grpc.RpcMethodHandler, whose stubs know the synchronous kind only; None for a method that does not exist.
Handler = Any
Context = grpc.aio.ServicerContext[Any, Any]


class Interceptor(grpc.aio.ServerInterceptor):
    """An interceptor of gRPC that returns a handler for the handler of a method."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return what `intercept` makes of the method's own handler."""
        return self.intercept(await continuation(handler_call_details), handler_call_details)

    @abstractmethod
    def intercept(self, handler: Handler, details: grpc.HandlerCallDetails) -> Handler:
        """Return the handler that answers the call; for None, gRPC answers UNIMPLEMENTED."""
