"""grpc.health.v1: health status of the service, and its monitor, which checks the runtime."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import structlog
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

from zfscope.errors import RuntimeUnavailable
from zfscope.server.model_cache import ModelCache

# Seconds between two checks of the runtime.
INTERVAL_S = 1.0
_log = structlog.get_logger("zfscope.server")


class HealthService(HealthServicer):
    """Servicer of grpc.health.v1 with one status for all services; NOT_SERVING initially.

    Replaces the servicer of grpcio-health-checking: there a watcher that disconnects can swallow the
    notification of the others, which would miss a shutdown.
    """

    def __init__(self, services: Iterable[str]) -> None:
        """services: full names of the services; the empty name, for the whole server, is added."""
        self._services = frozenset(("", *services))
        self._status: int = HealthCheckResponse.NOT_SERVING
        self._changed = asyncio.Event()
        self._final = False
        self._ended = False

    @property
    def serving(self) -> bool:
        """Whether the status is SERVING."""
        return self._status == HealthCheckResponse.SERVING

    def set(self, *, serving: bool) -> None:
        """Set the status and notify all watchers; ignored after `shut_down`."""
        if not self._final:
            self._status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
            self._wake()

    def shut_down(self) -> None:
        """Set the status to NOT_SERVING permanently."""
        self.set(serving=False)
        self._final = True

    def end_watches(self) -> None:
        """End all Watch calls, which otherwise never end."""
        self._ended = True
        self._wake()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:  # noqa: N802
        """Return the status; abort with NOT_FOUND for an unknown service."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return HealthCheckResponse(status=self._status)

    async def Watch(self, request: HealthCheckRequest, context: Any) -> AsyncIterator[HealthCheckResponse]:  # noqa: N802
        """Yield the status and each change, including the last one before `end_watches`."""
        known, reported = request.service in self._services, None
        while True:
            changed, ended = self._changed, self._ended
            status = self._status if known else HealthCheckResponse.SERVICE_UNKNOWN
            if status != reported:
                # Status and `_ended` may change during the yield; `changed`, taken before, is then set.
                yield HealthCheckResponse(status=status)
                reported = status
            if ended:
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class HealthMonitor:
    """Sets the health status: NOT_SERVING while the default model's runtime fails, SERVING after a pass."""

    def __init__(
        self,
        models: ModelCache,
        health: HealthService,
        *,
        full_passes: bool = False,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """full_passes: run a forward pass in every check; nothing less detects a failing GPU."""
        self._models, self._health = models, health
        self._full_passes, self._interval_s = full_passes, interval_s
        self._passed = asyncio.Event()

    async def wait_for_first_pass(self) -> None:
        """Wait until the first forward pass has succeeded."""
        await self._passed.wait()

    async def run(self) -> None:
        """Check every `interval_s` seconds until cancelled; run a full pass initially and after a failure."""
        serving: bool | None = None  # not reported yet
        while True:
            error = await asyncio.to_thread(self._check, full_pass=self._full_passes or not serving)
            if serving is not (error is None):
                serving = error is None
                _log_status(error)
                self._health.set(serving=serving)
            if serving:
                self._passed.set()
            await asyncio.sleep(self._interval_s)

    def _check(self, *, full_pass: bool) -> Exception | None:
        """Return the runtime's error, if any. All exceptions count: none may leave the status at SERVING."""
        try:
            loaded = self._models.get("", None)
            if full_pass:
                loaded.warm_up()
            else:
                loaded.runtime.check()
        except Exception as error:
            return error
        return None


def _log_status(error: Exception | None) -> None:
    if error is None:
        _log.info("serving")
    else:
        expected = isinstance(error, RuntimeUnavailable)
        _log.warning("not serving", reason=str(error), exc_info=None if expected else error)
