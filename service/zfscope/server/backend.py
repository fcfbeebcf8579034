"""What the services share: the models, the analyzers, the threads that work for requests, and the limits."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

import torch

from zfscope.analysis.registry import load_analyzers
from zfscope.images.limits import DecodeLimits
from zfscope.processors import usable_cpus
from zfscope.runtimes import LoadedModel, Runtime, TorchServe, create_runtime
from zfscope.server.batching import Batcher
from zfscope.server.model_cache import ModelCache
from zfscope.server.settings import Settings
from zfscope.server.telemetry.metrics import InstrumentedRuntime, Metrics
from zfscope.server.telemetry.tracing import span
from zfscope.store import Model, ModelStore

T = TypeVar("T")
# Threads that read requests, even on few cores: one of them may wait for a model to be loaded.
_MIN_READERS = 4


class WorkerPool:
    """Threads for blocking calls; the number of calls that may wait is limited by admission."""

    def __init__(self, threads: int, *, waited: Callable[[float], object] = lambda _: None) -> None:
        """waited: called, from a thread, with the seconds that a call waited for it."""
        self._waited = waited
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="zfscope")

    async def run(self, work: Callable[[], T]) -> T:
        """Return the result of a call, which sees the context variables of the caller.

        A cancelled caller takes its waiting work out of the queue; running work ends by itself, and holds
        its thread until then.
        """
        run = copy_context().run
        return await asyncio.wrap_future(self._pool.submit(run, self._run, work, time.perf_counter()))

    def close(self) -> None:
        """Drop waiting calls, and wait for running ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, work: Callable[[], T], since: float) -> T:
        self._waited(time.perf_counter() - since)
        with span("work"):
            return _call_safely(work)


def _call_safely(work: Callable[[], T]) -> T:
    """Run a call, and keep what would mean something else on the event loop from reaching it.

    There SystemExit and KeyboardInterrupt end the service, and a CancelledError passes for a cancelled call.
    """
    try:
        return work()
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, CancelledError):
            raise
        raise RuntimeError(f"work raised {type(error).__name__}") from error


class Backend:
    """What the services share: the models, the analyzers, threads, and the limits of the settings."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Read the store's manifests, and load the analyzers.

        Raises NotFound or InputError for a store without a default model, BrokenPlugin for an analyzer that
        does not fit, NotFound for an analyzer of the settings that is not installed.
        """
        self.settings = settings
        self._metrics = metrics
        self._threads = settings.threads or usable_cpus()
        torch.set_num_threads(self._threads)
        self.models = ModelCache(
            ModelStore(settings.store),
            self._runtime,
            default=settings.default_model,
            keep=settings.kept_models,
            device=settings.device,
        )
        self.registry = load_analyzers(settings.analyzers)
        # For short work (manifests, photos to decode), and for analyses.
        self.readers = WorkerPool(
            max(_MIN_READERS, self._threads), waited=partial(metrics.record_wait, "readers")
        )
        self.workers = WorkerPool(settings.workers, waited=partial(metrics.record_wait, "workers"))
        self.batcher = Batcher(
            size=settings.batch_size,
            delay_s=settings.batch_delay_s,
            queue=settings.batch_queue,
            models=settings.kept_models,
            waited=partial(metrics.record_wait, "batches"),
        )

    @property
    def store(self) -> ModelStore:
        """The models that there are."""
        return self.models.store

    @property
    def image_limits(self) -> DecodeLimits:
        """Limits of the images that are decoded."""
        return self.settings.image_limits

    @property
    def max_passes(self) -> int:
        """Maximum cost of an analysis in forward passes."""
        return self.settings.max_passes

    def load_model(self, name: str, version: int | None) -> LoadedModel:
        """Return a model and its runtime; see `ModelCache.loaded`."""
        return self.models.get(name, version)

    async def close(self) -> None:
        """Wait for running work, and end the threads."""
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
            torchserve=TorchServe(settings.torchserve, settings.torchserve_timeout_s),
        )
        return InstrumentedRuntime(runtime, model, self._metrics)
