"""State shared by the gRPC services: models, analyzers, thread pools and limits."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

import torch

from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.trace_cache import trace_cache
from zfscope.images.limits import DecodeLimits
from zfscope.processors import usable_cpus
from zfscope.runtimes import LoadedModel, Runtime, TorchServe, create_runtime
from zfscope.server.batching import Batcher
from zfscope.server.model_cache import ModelCache
from zfscope.server.settings import Settings
from zfscope.server.telemetry.metrics import InstrumentedRuntime, Metrics
from zfscope.server.telemetry.statistics import InferenceStatistics
from zfscope.server.telemetry.tracing import span
from zfscope.store import Model, ModelStore

T = TypeVar("T")
# Minimum number of reader threads, even on few cores: one of them may block while a model loads.
_MIN_READERS = 4


class WorkerPool:
    """Thread pool for blocking calls, with an unbounded queue: admission control limits the calls."""

    def __init__(self, threads: int, *, observe_wait: Callable[[float], object] = lambda _: None) -> None:
        """observe_wait: called on the worker thread with the seconds that a call was queued."""
        self._observe_wait = observe_wait
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="zfscope")

    async def run(self, work: Callable[[], T]) -> T:
        """Run a call on a thread, with the caller's context variables, and return its result.

        Cancellation removes a queued call; a running call keeps its thread until it returns.
        """
        run = copy_context().run
        return await asyncio.wrap_future(self._pool.submit(run, self._run, work, time.perf_counter()))

    def close(self) -> None:
        """Cancel queued calls and wait for running ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, work: Callable[[], T], queued_at: float) -> T:
        self._observe_wait(time.perf_counter() - queued_at)
        with span("work"):
            return _call_safely(work)


def _call_safely(work: Callable[[], T]) -> T:
    """Run a call; raise RuntimeError in place of exceptions that have a special meaning on the event loop.

    SystemExit and KeyboardInterrupt would end the service; CancelledError would look like a cancelled call.
    """
    try:
        return work()
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, CancelledError):
            raise
        raise RuntimeError(f"work raised {type(error).__name__}") from error


class Backend:
    """Models, analyzers, thread pools and limits of one service."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Read the store's manifests and load the analyzers.

        Raises the errors of `ModelCache`, BrokenPlugin for an invalid analyzer, and NotFound if an analyzer
        named in the settings is not installed.
        """
        self.settings = settings
        self._metrics = metrics
        self.statistics = InferenceStatistics()
        self._threads = settings.threads or usable_cpus()
        torch.set_num_threads(self._threads)
        self.trace_cache = trace_cache(settings.trace_cache_bytes, observe=metrics.record_lookup)
        metrics.track_cache(self.trace_cache)
        self.models = ModelCache(
            ModelStore(settings.store),
            self._runtime,
            default=settings.default_model,
            keep=settings.kept_models,
            device=settings.device,
            unloaded=self.trace_cache.drop_model,
        )
        self.registry = load_analyzers(settings.analyzers)
        # readers: short calls, such as reading manifests and decoding photos. workers: analyses.
        self.readers = WorkerPool(
            max(_MIN_READERS, self._threads), observe_wait=partial(metrics.record_wait, "readers")
        )
        self.workers = WorkerPool(settings.workers, observe_wait=partial(metrics.record_wait, "workers"))
        self.batcher = Batcher(
            size=settings.batch_size,
            delay_s=settings.batch_delay_s,
            queue=settings.batch_queue,
            models=settings.kept_models,
            observe_wait=partial(metrics.record_wait, "batches"),
        )

    @property
    def store(self) -> ModelStore:
        """Model store."""
        return self.models.store

    @property
    def image_limits(self) -> DecodeLimits:
        """Size limits of decoded images."""
        return self.settings.image_limits

    @property
    def max_passes(self) -> int:
        """Maximum cost of an analysis in forward passes."""
        return self.settings.max_passes

    def load_model(self, name: str, version: int | None) -> LoadedModel:
        """Return a model with its runtime; see `ModelCache.get`."""
        return self.models.get(name, version)

    async def close(self) -> None:
        """Wait for running calls and stop the threads."""
        await self.batcher.close()
        for pool in (self.readers, self.workers):
            await asyncio.to_thread(pool.close)

    def _runtime(self, model: Model) -> Runtime:
        """Create the runtime of a model's forward passes."""
        settings = self.settings
        runtime = create_runtime(
            settings.runtime,
            model,
            cache=settings.cache,
            threads=self._threads,
            device=settings.device,
            precision=settings.precision,
            torchserve=TorchServe(settings.torchserve, settings.torchserve_timeout_s),
        )
        return InstrumentedRuntime(runtime, model, self._record_pass)

    def _record_pass(self, model: str, version: int, *, images: int, seconds: float) -> None:
        self._metrics.record_pass(model, version, images=images, seconds=seconds)
        self.statistics.record_pass(model, version, images=images, seconds=seconds)
