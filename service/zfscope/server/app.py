"""The service: construction, start, warm-up and graceful shutdown."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import structlog
from grpc_channelz.v1.channelz import add_channelz_servicer
from grpc_health.v1 import health
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from zfscope.inference.inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from zfscope.open_files import connection_limit, raise_open_file_limit
from zfscope.server.backend import Backend
from zfscope.server.credentials import ServiceCredentials
from zfscope.server.interceptors.auth import AuthInterceptor
from zfscope.server.interceptors.calls import CallInterceptor
from zfscope.server.interceptors.errors import ErrorInterceptor
from zfscope.server.lifecycle.admission import AdmissionControl
from zfscope.server.lifecycle.connections import ConnectionMonitor
from zfscope.server.lifecycle.health import HealthMonitor, HealthService
from zfscope.server.lifecycle.shutdown import drain, stop_signal
from zfscope.server.listen import bind, bind_health, health_options, server_options
from zfscope.server.oip.service import InferenceService
from zfscope.server.preload import preload, prepare_preload
from zfscope.server.protos import CHANNELZ, SERVICES, descriptor_pool
from zfscope.server.reflection import add_reflection
from zfscope.server.services.analysis import AnalysisService
from zfscope.server.services.classification import ClassificationService
from zfscope.server.services.models import ModelService
from zfscope.server.settings import Settings, unknown_variables
from zfscope.server.store_watch import watch_store
from zfscope.server.telemetry.log import configure_log
from zfscope.server.telemetry.metrics import Metrics, MetricsServer
from zfscope.server.telemetry.tracing import configure_traces
from zfscope.v1.analysis_pb2_grpc import add_AnalysisServiceServicer_to_server
from zfscope.v1.classification_pb2_grpc import add_ClassificationServiceServicer_to_server
from zfscope.v1.model_pb2_grpc import add_ModelServiceServicer_to_server

_log = structlog.get_logger("zfscope.server")


class Service:
    """gRPC server with its services. Call `start`, `warm_up` and `stop` once each, in this order."""

    def __init__(self, settings: Settings) -> None:
        """Read the certificates and tokens, and open the store.

        health_address: HOST:PORT for health checks alone after `start`; empty without one.
        Raises InputError for invalid certificates and tokens, and the errors of `Backend`.
        """
        self._settings = settings
        self._metrics = Metrics()
        self._metrics_server: MetricsServer | None = None
        self._credentials = ServiceCredentials(settings)
        self._backend = Backend(settings, self._metrics)
        self._admission = AdmissionControl(settings.admission_limits)
        self._health = HealthService(SERVICES)
        self._health_server: grpc.aio.Server | None = None
        self.health_address = ""
        self._background: list[asyncio.Task[None]] = []
        self._stopped = threading.Event()

    async def start(self) -> str:
        """Start listening, with health status NOT_SERVING; return the bound address with its port.

        Raises InputError if the address cannot be bound or is not safe to listen on.
        """
        connections = self._settings.max_connections or connection_limit()
        options = server_options(self._settings, connections)
        self._server = grpc.aio.server(interceptors=self._interceptors(), options=options)
        self._add_services()
        address = bind(self._server, self._settings, self._credentials)
        if self._settings.metrics_listen:
            self._metrics_server = MetricsServer(self._metrics, self._settings.metrics_listen)
        self._background.append(asyncio.create_task(ConnectionMonitor(connections).run()))
        self._background.append(asyncio.create_task(self._credentials.watch()))
        await self._server.start()
        if self._settings.health_listen:
            await self._start_health_server()
        _log.info("started", address=address, process=os.getpid(), workers=self._settings.workers)
        return address

    @property
    def metrics_address(self) -> str:
        """HOST:PORT of the metrics endpoint after `start`; empty if there is no endpoint."""
        return self._metrics_server.address if self._metrics_server else ""

    async def warm_up(self) -> str:
        """Load the default model, run a forward pass and report SERVING; return the model's title.

        Waits for a runtime in another process until it is available; requests fail meanwhile.
        """
        models = self._backend.models
        loaded = await self._backend.readers.run(lambda: models.get("", None))
        self._admission.open()
        monitor = HealthMonitor(models, self._health, full_passes=self._settings.device == "cuda")
        self._background.append(asyncio.create_task(monitor.run()))
        if self._settings.watch:
            self._background.append(asyncio.create_task(watch_store(models.refresh)))
        await monitor.wait_for_first_pass()
        self._background.append(asyncio.create_task(asyncio.to_thread(preload, self._stopped)))
        return loaded.model.manifest.title

    async def stop(self, *, lame_duck_s: float = 0, reason: str = "") -> None:
        """Drain the requests and stop the server. reason: why the service stops, for the log."""
        started, times = time.perf_counter(), {"lame_duck_s": lame_duck_s, "grace_s": self._settings.grace_s}
        _log.info("shutting down", reason=reason, requests=self._admission.admitted, **times)
        self._stopped.set()
        for task in self._background:
            task.cancel()
        aborted = await drain(self._server, self._admission, self._health, **times)
        if self._health_server:
            await self._health_server.stop(0)
        await self._backend.close()
        if self._metrics_server:
            await asyncio.to_thread(self._metrics_server.close)
        _log.info("stopped", cut_off=aborted, seconds=round(time.perf_counter() - started, 3))

    async def _start_health_server(self) -> None:
        """Serve grpc.health.v1 without TLS and tokens, for probes. Raises InputError."""
        self._health_server = grpc.aio.server(interceptors=self._interceptors()[:1], options=health_options())
        add_HealthServicer_to_server(self._health, self._health_server)
        self.health_address = bind_health(self._health_server, self._settings)
        await self._health_server.start()

    def _interceptors(self) -> list[grpc.aio.ServerInterceptor]:
        """Return the interceptors of all RPCs, outermost first."""
        tokens = self._credentials.tokens
        auth = [AuthInterceptor(tokens)] if tokens else []
        calls = CallInterceptor(self._metrics, max_receive_bytes=self._settings.max_receive_bytes)
        errors = ErrorInterceptor(
            self._admission,
            self._settings.deadlines,
            max_send_bytes=self._settings.max_send_bytes,
            access_log=self._settings.access_log,
        )
        return [calls, *auth, errors]

    def _add_services(self) -> None:
        server, backend = self._server, self._backend
        add_ModelServiceServicer_to_server(ModelService(backend), server)
        add_ClassificationServiceServicer_to_server(ClassificationService(backend), server)
        analyses = AnalysisService(backend)  # type: ignore[abstract]  # typed RPCs are added dynamically
        add_AnalysisServiceServicer_to_server(analyses, server)
        add_GRPCInferenceServiceServicer_to_server(InferenceService(backend, self._health), server)
        add_HealthServicer_to_server(self._health, server)
        listed = [*SERVICES, health.SERVICE_NAME]
        if self._settings.channelz:
            add_channelz_servicer(server)
            listed.append(CHANNELZ)
        add_reflection(server, listed, descriptor_pool())


def _print_line(line: str) -> None:
    """Print a line and flush: the parent process may read it through a pipe."""
    print(line, flush=True)  # noqa: T201  (read by the parent process)


async def serve(settings: Settings, *, announce: Callable[[str], object] = _print_line) -> None:
    """Run the service until SIGTERM, SIGHUP or Ctrl-C; a second signal kills it.

    announce: called with a line of text when the address is bound and when the model is served.
    Raises NotFound, InputError, RuntimeUnavailable or DamagedModel if the service cannot start.
    """
    configure_log(settings.log_level)
    announce = _log_print_errors(announce)
    _warn_about_unknown_variables()
    raise_open_file_limit()
    prepare_preload()
    end_traces = configure_traces(settings.traces_endpoint)
    signalled = stop_signal()
    service = Service(settings)
    announce(f"zfscope listens on {await service.start()}")
    if service.metrics_address:
        announce(f"metrics available at http://{service.metrics_address}/metrics")
    if service.health_address:
        announce(f"health checks without TLS on {service.health_address}")
    warm, served = asyncio.create_task(service.warm_up()), False
    try:
        pending: set[asyncio.Future[Any]] = {warm, signalled}
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if warm.done():
            announce(f"zfscope serves {warm.result()}")
            served = True
            await signalled
    finally:
        warm.cancel()
        # Skip the lame-duck time after Ctrl-C, and if the service never reported SERVING.
        number = signalled.result() if signalled.done() else None
        lame_duck_s = settings.lame_duck_s if served and number == signal.SIGTERM else 0
        await service.stop(
            lame_duck_s=lame_duck_s, reason=signal.Signals(number).name if number else "startup failed"
        )
        await asyncio.to_thread(end_traces)


def _log_print_errors(announce: Callable[[str], object]) -> Callable[[str], object]:
    """Wrap `announce` so that a line that cannot be printed is logged."""

    def print_or_log(line: str) -> None:
        try:
            announce(line)
        except OSError as error:
            _log.warning("cannot print line", line=line, reason=error.strerror or str(error))

    return print_or_log


def _warn_about_unknown_variables() -> None:
    for name, nearest in unknown_variables():
        hint = {"nearest": nearest} if nearest else {}
        _log.warning("unknown variable ignored", variable=name, **hint)
