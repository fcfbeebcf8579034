"""grpc.health.v1: whether the service takes requests, and the monitor that follows what runs the passes."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import structlog
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from zfscope.errors import RuntimeUnavailable
from zfscope.server.model_cache import ModelCache

INTERVAL_S = 1.0
_log = structlog.get_logger("zfscope.server")


class HealthService(HealthServicer):
    """The one status of a service and of its parts: NOT_SERVING at first, and at the end for good.

    It replaces grpc's own servicer, in which a watcher that leaves takes the others' notification with it:
    they would miss a shutdown.
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
        """Report a status to all watchers; ignored once the service shuts down."""
        if not self._final:
            self._status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
            self._wake()

    def shut_down(self) -> None:
        """Report NOT_SERVING, for good."""
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
        """Yield the status, and every new one, until the watches end: the last one too."""
        known, reported = request.service in self._services, None
        while True:
            changed, ended = self._changed, self._ended
            status = self._status if known else HealthCheckResponse.SERVICE_UNKNOWN
            if status != reported:
                yield HealthCheckResponse(
                    status=status
                )  # meanwhile the status may change, and the watches end
                reported = status
            if ended:
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class HealthMonitor:
    """Sets the health by the runtime of the default model: off while it fails, on again after a pass."""

    def __init__(
        self,
        models: ModelCache,
        health: HealthService,
        *,
        full_passes: bool = False,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """full_passes: every check is a whole pass; a failing GPU shows in nothing less."""
        self._models, self._health, self._full_passes, self._interval_s = (
            models,
            health,
            full_passes,
            interval_s,
        )
        self._passed = asyncio.Event()

    async def wait_for_first_pass(self) -> None:
        """Wait until a pass has succeeded for the first time."""
        await self._passed.wait()

    async def run(self) -> None:
        """Check again and again, until this is cancelled: by a whole pass first, and after every fault."""
        serving: bool | None = None  # nothing was reported yet
        while True:
            fault = await asyncio.to_thread(self._fault, whole=self._full_passes or not serving)
            if serving is not (fault is None):
                serving = fault is None
                _log_fault(fault)
                self._health.set(serving=serving)
            if serving:
                self._passed.set()
            await asyncio.sleep(self._interval_s)

    def _fault(self, *, whole: bool) -> Exception | None:
        """Return what is wrong, if anything is: with any exception the service must not report SERVING."""
        try:
            loaded = self._models.get("", None)
            if whole:
                loaded.warm_up()
            else:
                loaded.runtime.check()
        except Exception as error:
            return error
        return None


def _log_fault(fault: Exception | None) -> None:
    if fault is None:
        _log.info("serving")
    else:
        expected = isinstance(fault, RuntimeUnavailable)
        _log.warning("not serving", reason=str(fault), exc_info=None if expected else fault)
