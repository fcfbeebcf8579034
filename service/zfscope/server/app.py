"""The service as a whole: built, started, warmed up, and shut down in the order that hurts nobody."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import structlog
import torch
from grpc_channelz.v1.channelz import add_channelz_servicer
from grpc_health.v1 import health
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

# matplotlib, here and not in the first request that draws: its import changes the environment for a moment.
import zfscope.images.plotting  # noqa: F401
from zfscope.analysis.registry import load_analyzers
from zfscope.inference.inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from zfscope.processors import usable_cpus
from zfscope.runtimes import Runtime, TorchServe, create_runtime
from zfscope.server.backend import Backend
from zfscope.server.batching import Batcher
from zfscope.server.calls import Calls
from zfscope.server.connections import ConnectionWatch, most_connections, raise_open_files
from zfscope.server.gate import Gate
from zfscope.server.health import Health
from zfscope.server.interceptor import Errors
from zfscope.server.listen import bind
from zfscope.server.log import configure_log
from zfscope.server.measured import Measured
from zfscope.server.metrics import Metrics, MetricsServer
from zfscope.server.models import Models
from zfscope.server.protos import CHANNELZ, SERVICES, pool_of_all
from zfscope.server.pulse import Pulse
from zfscope.server.services.analysis import AnalysisService
from zfscope.server.services.classification import ClassificationService
from zfscope.server.services.inference import InferenceService
from zfscope.server.services.models import ModelService
from zfscope.server.settings import Settings
from zfscope.server.tokens import Tokens
from zfscope.server.tracing import configure_traces
from zfscope.server.variables import unknown_variables
from zfscope.server.watch import watch
from zfscope.server.workers import Workers
from zfscope.store import Model, ModelStore
from zfscope.v1.analysis_pb2_grpc import add_AnalysisServiceServicer_to_server
from zfscope.v1.classification_pb2_grpc import add_ClassificationServiceServicer_to_server
from zfscope.v1.model_pb2_grpc import add_ModelServiceServicer_to_server
from zfscope.wire.credentials import read_tokens

_LAST_CALLS_S = 5
"""How long requests that are still on their way in get, to be refused rather than cut off."""
_READERS = 4
"""Threads that read requests, even on few cores: one of them may wait for a model to be loaded."""

_log = structlog.get_logger("zfscope.server")


class Service:
    """One gRPC server and what it serves. Start it, warm it up, stop it, each once."""

    def __init__(self, settings: Settings) -> None:
        """Read the tokens and the store's manifests, and load the analyzers.

        Raises InputError for tokens that cannot be used, NotFound or InputError for a store without a default
        model, BrokenPlugin for an analyzer that does not fit, NotFound for one that is wanted and not there.
        """
        threads = settings.threads or usable_cpus()
        torch.set_num_threads(threads)
        self._settings = settings
        self._metrics = Metrics()
        self._metrics_server: MetricsServer | None = None
        self._tokens = read_tokens(settings.token, settings.token_file)
        models = Models(
            ModelStore(settings.store),
            partial(self._runtime, threads),
            default=settings.default_model,
            keep=settings.kept_models,
            device=settings.device,
        )
        self._backend = Backend(
            models,
            load_analyzers(settings.analyzers),
            readers=Workers(max(_READERS, threads), waited=self._waited("readers")),
            workers=Workers(settings.workers, waited=self._waited("workers")),
            batcher=Batcher(
                size=settings.batch_size,
                delay_s=settings.batch_delay_s,
                queue=settings.batch_queue,
                models=settings.kept_models,
                waited=self._waited("batches"),
            ),
            image_limits=settings.image_limits,
            max_units=settings.max_units,
            max_passes=settings.max_passes,
            max_images=settings.max_images,
            max_send_bytes=settings.max_send_bytes,
        )
        self._gate = Gate(settings.room)
        self._health = Health(SERVICES)
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> str:
        """Answer on the address from now on, NOT_SERVING; give the address with the port that was bound.

        Raises InputError where the address cannot be bound, or is not safe to listen on.
        """
        connections = self._settings.max_connections or most_connections()
        options = _options(self._settings, connections)
        self._server = grpc.aio.server(interceptors=self._interceptors(), options=options)
        add_ModelServiceServicer_to_server(ModelService(self._backend), self._server)
        add_ClassificationServiceServicer_to_server(ClassificationService(self._backend), self._server)
        analyses = AnalysisService(self._backend)  # type: ignore[abstract]  # its typed RPCs are added by a table
        add_AnalysisServiceServicer_to_server(analyses, self._server)
        add_GRPCInferenceServiceServicer_to_server(
            InferenceService(self._backend, self._health), self._server
        )
        add_HealthServicer_to_server(self._health, self._server)
        listed = [*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME]
        if self._settings.channelz:
            add_channelz_servicer(self._server)
            listed.append(CHANNELZ)
        reflection.enable_server_reflection(listed, self._server, pool=pool_of_all())
        address = bind(self._server, self._settings, tokens=bool(self._tokens))
        if self._settings.metrics_listen:
            self._metrics_server = MetricsServer(self._metrics, self._settings.metrics_listen)
        self._watching.append(asyncio.create_task(ConnectionWatch(connections).run()))
        await self._server.start()
        _log.info("started", address=address, process=os.getpid(), workers=self._settings.workers)
        return address

    @property
    def metrics_address(self) -> str:
        """Where metrics are told once it has started; empty for nowhere."""
        return self._metrics_server.address if self._metrics_server else ""

    async def warm_up(self) -> str:
        """Load the default model, run it once, and turn SERVING; give the model's title.

        Where what runs it is another process that is not there, this waits for it; callers are told so.
        """
        loaded = await self._backend.readers.run(lambda: self._backend.models.loaded("", None))
        self._gate.open()
        pulse = Pulse(self._backend.models, self._health, by_passes=self._settings.device == "cuda")
        self._watching.append(asyncio.create_task(pulse.beat()))
        if self._settings.watch:
            self._watching.append(asyncio.create_task(watch(self._backend.models)))
        await pulse.felt()
        return loaded.model.manifest.title

    async def stop(self, *, lame_duck_s: float = 0, reason: str = "") -> None:
        """Report NOT_SERVING, wait for load balancers to notice, refuse new work, let running work end.

        reason: of the shutdown, for the log.
        """
        begun, grace_s = time.perf_counter(), self._settings.grace_s
        numbers = {"lame_duck_s": lame_duck_s, "grace_s": grace_s}
        _log.info("shutting down", reason=reason, requests=self._gate.inside, **numbers)
        for task in self._watching:
            task.cancel()
        self._health.shut_down()
        await asyncio.sleep(lame_duck_s)
        self._gate.shut()
        _log.info("refusing requests", requests=self._gate.inside)
        cut_off = 0 if await self._gate.emptied(grace_s) else await self._cut_off()
        self._health.end_watches()
        await self._server.stop(_LAST_CALLS_S)
        await self._backend.close()
        if self._metrics_server:
            await asyncio.to_thread(self._metrics_server.close)
        _log.info("stopped", cut_off=cut_off, seconds=round(time.perf_counter() - begun, 3))

    async def _cut_off(self) -> int:
        """End the requests that still run, which lets their callers know; return their number."""
        count = self._gate.cut_off(
            "the service is shutting down, and the call was not done within the grace time of "
            f"{self._settings.grace_s:g} s; send it again"
        )
        _log.warning("cut off", reason="requests still ran at the end of the grace time", requests=count)
        await self._gate.emptied(_LAST_CALLS_S)
        return count

    def _interceptors(self) -> list[grpc.aio.ServerInterceptor]:
        """Give what is around every RPC, the outermost first."""
        tokens = [Tokens(self._tokens)] if self._tokens else []
        calls = Calls(self._metrics, max_receive_bytes=self._settings.max_receive_bytes)
        return [calls, *tokens, Errors(self._gate, self._settings.deadlines)]

    def _runtime(self, threads: int, model: Model) -> Runtime:
        """Create who runs a model's forward passes."""
        settings = self._settings
        runtime = create_runtime(
            settings.runtime,
            model,
            cache=settings.cache,
            threads=threads,
            device=settings.device,
            torchserve=TorchServe(settings.torchserve, settings.torchserve_timeout_s),
        )
        return Measured(runtime, model, self._metrics)

    def _waited(self, queue: str) -> Callable[[float], None]:
        return partial(self._metrics.waited, queue)


def _say(line: str) -> None:
    """Print a line at once: a program that started the service reads it through a pipe."""
    print(line, flush=True)  # noqa: T201  (it is meant for whoever started the service)


async def serve(settings: Settings, *, announce: Callable[[str], object] = _say) -> None:
    """Run the service until SIGTERM, SIGHUP or Ctrl-C; a second signal ends it at once.

    announce: is told the address once it is bound, and the model once it is served.
    Raises NotFound, InputError, RuntimeUnavailable or DamagedModel where the service cannot start.
    """
    configure_log()
    announce = _announcing(announce)
    _warn_of_unknown_variables()
    raise_open_files()
    end_traces = configure_traces(settings.traces_endpoint)
    stopped = _signals()
    service = Service(settings)
    announce(f"zfscope listens on {await service.start()}")
    if service.metrics_address:
        announce(f"zfscope tells metrics on http://{service.metrics_address}/metrics")
    warm, served = asyncio.create_task(service.warm_up()), False
    try:
        either: set[asyncio.Future[Any]] = {warm, stopped}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if warm.done():
            announce(f"zfscope serves {warm.result()}")
            served = True
            await stopped
    finally:
        warm.cancel()
        # Nobody has to notice that a service ends which never served, or by the hand of who watches it.
        number = stopped.result() if stopped.done() else None
        lame_duck_s = settings.lame_duck_s if served and number == signal.SIGTERM else 0
        await service.stop(
            lame_duck_s=lame_duck_s, reason=signal.Signals(number).name if number else "the start failed"
        )
        await asyncio.to_thread(end_traces)


def _announcing(announce: Callable[[str], object]) -> Callable[[str], object]:
    """Return what announces a line; one that nobody can read is in the log, and ends nothing."""

    def say(line: str) -> None:
        try:
            announce(line)
        except OSError as error:
            _log.warning("an announcement cannot be printed", line=line, reason=error.strerror or str(error))

    return say


def _warn_of_unknown_variables() -> None:
    for name, nearest in unknown_variables():
        hint = {"nearest": nearest} if nearest else {}
        _log.warning("an unknown variable is ignored", variable=name, **hint)


def _signals() -> "asyncio.Future[int]":
    """Give what the first signal to stop will fulfil, with its number."""
    loop = asyncio.get_running_loop()
    stopped = loop.create_future()
    # As nohup has it ignored, SIGHUP stays so; Windows has none.
    hang_up = [number for number in signal.Signals if number.name == "SIGHUP"]
    heeded = [number for number in hang_up if signal.getsignal(number) is not signal.SIG_IGN]
    handled = (signal.SIGTERM, signal.SIGINT, *heeded)

    def on_signal(number: int) -> None:
        if not stopped.done():  # two signals may have come at once
            stopped.set_result(number)
        for each in handled:  # the next one ends the process
            try:
                loop.remove_signal_handler(each)
            except NotImplementedError:
                signal.signal(each, signal.SIG_DFL)

    for number in handled:
        try:
            loop.add_signal_handler(number, on_signal, number)
        except NotImplementedError:  # on Windows, where Python itself has to be asked
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(on_signal, number))
    return stopped


def _options(settings: Settings, connections: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_receive_bytes),
        ("grpc.max_send_message_length", settings.max_send_bytes),
        # Photos are compressed already, and what unpacks to a thousand times its size never gets that far.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.so_reuseport", 0),  # or two services could share a port and never know
        # Clients may ping as often as once a second, idle too.
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Pings do not keep a connection, calls and health watches do. Clients connect again by themselves.
        ("grpc.max_connection_idle_ms", round(settings.max_idle_s * 1000)),
        # gRPC would try to accept more for ever, and write so to stderr once a second.
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.server_handshake_timeout_ms", 20_000),
        ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
        # The timeout that counts: gRPC's C core (1.81) never starts the timer of keepalive_timeout_ms.
        ("grpc.http2.ping_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
    ]
