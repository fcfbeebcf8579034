"""grpc.health.v1: whether the service takes requests, told to whoever asks and to all who watch."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer


class Health(HealthServicer):
    """The one status of a service and of its parts: NOT_SERVING at first, and at the end for good.

    It stands in for grpc's own servicer, where a watcher that leaves takes the others' notice with it: they
    would not hear of a shutdown.
    """

    def __init__(self, services: Iterable[str]) -> None:
        """Answer for services by name, and for all of them under the empty name."""
        self._services = frozenset(("", *services))
        self._status: int = HealthCheckResponse.NOT_SERVING
        self._changed = asyncio.Event()
        self._final = False
        self._ended = False

    @property
    def serving(self) -> bool:
        """Whether the service says that it takes requests."""
        return self._status == HealthCheckResponse.SERVING

    def set(self, *, serving: bool) -> None:
        """Tell everybody; nothing is told any more once the service shuts down."""
        if not self._final:
            self._status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
            self._wake()

    def shut_down(self) -> None:
        """Tell everybody NOT_SERVING, for good."""
        self.set(serving=False)
        self._final = True

    def end_watches(self) -> None:
        """End the watches, which would never end by themselves."""
        self._ended = True
        self._wake()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:  # noqa: N802
        """Answer with the status; NOT_FOUND for a service that is none of these."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return HealthCheckResponse(status=self._status)

    async def Watch(self, request: HealthCheckRequest, context: Any) -> AsyncIterator[HealthCheckResponse]:  # noqa: N802
        """Give the status, and every new one, until the watches end."""
        known, told = request.service in self._services, None
        while not self._ended:
            changed = self._changed
            status = self._status if known else HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                yield HealthCheckResponse(status=status)
                told = status
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
