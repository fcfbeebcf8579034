"""Prometheus metrics of calls, queues, forward passes and failures, and the HTTP server that exposes them.

No label value comes from a caller: methods and reasons are fixed, models are those that were loaded.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import product
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import start_http_server
from prometheus_client.registry import Collector

from zfscope.analysis.trace_cache import KINDS, TraceCache
from zfscope.errors import InputError
from zfscope.runtimes import MapMaxima, Runtime
from zfscope.server.protos import METHODS_BY_PATH, Method
from zfscope.server.telemetry.log import lines_lost
from zfscope.server.telemetry.tracing import span
from zfscope.shared_values import Lookup
from zfscope.store import Model

# Buckets of histograms, and labels of calls.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_SHORT_SECONDS = (0.001, 0.0025, *_SECONDS)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)
_METHOD = ("grpc_type", "grpc_service", "grpc_method")


class Metrics:
    """Metrics of one service, in their own registry. labels: names of the labels of each metric."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.labels: dict[str, tuple[str, ...]] = {}
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._started = self._counter("grpc_server_started", "RPCs started.", *_METHOD)
        self._handled = self._counter("grpc_server_handled", "RPCs completed.", *_METHOD, "grpc_code")
        self._seconds = self._histogram(
            "grpc_server_handling_seconds", "Duration of RPCs, in seconds.", _SECONDS, *_METHOD
        )
        self._failures = self._counter(
            "zfscope_failures",
            "Failed RPCs by error reason.",
            "grpc_service",
            "grpc_method",
            "reason",
        )
        self._queued = self._histogram(
            "zfscope_queue_seconds", "Time that work waited in a queue, in seconds.", _SHORT_SECONDS, "queue"
        )
        self._passes = self._counter(
            "zfscope_forward_passes", "Images run through a network.", "model", "version"
        )
        self._batch = self._histogram(
            "zfscope_batch_size", "Images per forward pass.", _IMAGES, "model", "version"
        )
        self._forward = self._histogram(
            "zfscope_forward_seconds",
            "Duration of a forward pass, in seconds.",
            _SHORT_SECONDS,
            "model",
            "version",
        )
        self._lookups = self._counter(
            "zfscope_trace_cache_lookups",
            "Lookups of photos, network inputs and traces in the trace cache.",
            "kind",
            "result",
        )
        self._cache_bytes = Gauge(
            "zfscope_trace_cache_bytes", "Memory of the trace cache, in bytes.", registry=self.registry
        )
        self.registry.register(_LogLines())
        for method in METHODS_BY_PATH.values():
            self._started.labels(*method)  # start at 0, or rate() would miss the first call
        for kind, result in product(KINDS, get_args(Lookup)):
            self._lookups.labels(kind, result)

    def record_start(self, method: Method) -> None:
        """Count a call that starts."""
        self._started.labels(*method).inc()

    def record_end(self, method: Method, code: str, *, seconds: float, failure: str) -> None:
        """Count a completed call. failure: error reason; empty if the call succeeded."""
        self._handled.labels(*method, code).inc()
        self._seconds.labels(*method).observe(seconds)
        if failure:
            self._failures.labels(method.service, method.name, failure).inc()

    def record_wait(self, queue: str, seconds: float) -> None:
        """Record how long work waited in a queue of the service."""
        self._queued.labels(queue).observe(seconds)

    def record_pass(self, model: str, version: int, *, images: int, seconds: float) -> None:
        """Record a forward pass of a batch of images."""
        self._passes.labels(model, version).inc(images)
        self._batch.labels(model, version).observe(images)
        self._forward.labels(model, version).observe(seconds)

    def record_lookup(self, kind: str, result: Lookup) -> None:
        """Count a lookup in the trace cache."""
        self._lookups.labels(kind, result).inc()

    def track_cache(self, cache: TraceCache) -> None:
        """Report the memory of the trace cache."""
        self._cache_bytes.set_function(lambda: cache.size_bytes)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        self.labels[name] = labels
        return Counter(name, description, labels, registry=self.registry)

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        self.labels[name] = labels
        return Histogram(name, description, labels, buckets=buckets, registry=self.registry)


class _LogLines(Collector):
    """Collector of the number of log lines that this process lost."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the current count."""
        yield CounterMetricFamily(
            "zfscope_log_lines_lost", "Log lines that could not be written.", value=lines_lost()
        )


class InstrumentedRuntime:
    """Runtime wrapper that counts and times forward passes and records them as spans of the call."""

    def __init__(self, runtime: Runtime, model: Model, record_pass: Callable[..., None]) -> None:
        """record_pass: called after each pass, as `Metrics.record_pass`."""
        self._runtime = runtime
        self._model = model
        self._record_pass = record_pass

    @property
    def name(self) -> str:
        """Name of the runtime."""
        return self._runtime.name

    @property
    def title(self) -> str:
        """Title of the runtime."""
        return self._runtime.title

    @property
    def precision(self) -> str:
        """Precision of the runtime."""
        return self._runtime.precision

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class scores of images; see `Runtime`."""
        with self._pass(len(images)):
            return self._runtime.forward(images)

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the outputs of layers for images; see `Runtime`."""
        with self._pass(len(images)):
            return self._runtime.outputs(images, layers)

    def map_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str], *, sums: bool = False
    ) -> Mapping[str, MapMaxima]:
        """Return the maxima of maps; see `Runtime`."""
        with self._pass(len(images)):
            return self._runtime.map_maxima(images, layers, sums=sums)

    def cell_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the maxima of maps in cells; see `Runtime`."""
        with self._pass(len(images)):
            return self._runtime.cell_maxima(images, layers)

    def check(self) -> None:
        """Raise RuntimeUnavailable if a pass could not run now; see `Runtime`."""
        self._runtime.check()

    @contextmanager
    def _pass(self, images: int) -> Iterator[None]:
        """Record a pass, unless it fails."""
        started = time.perf_counter()
        with span("forward", images=images, runtime=self._runtime.name):
            yield
        seconds = time.perf_counter() - started
        self._record_pass(self._model.name, self._model.version, images=images, seconds=seconds)


class MetricsServer:
    """HTTP server of the metrics, on a separate port and thread."""

    def __init__(self, metrics: Metrics, listen: str) -> None:
        """listen: HOST:PORT. Raises InputError if the address cannot be bound."""
        host, _, port = listen.rpartition(":")
        try:
            self._server, self._thread = start_http_server(int(port), host.strip("[]"), metrics.registry)
        except OSError as error:
            message = f"cannot serve metrics on {listen}: {error.strerror or error}; choose another address"
            raise InputError(message, field="metrics_listen") from error
        self.address = f"{host}:{self._server.server_port}"

    def close(self) -> None:
        """Stop the server and free the port."""
        with suppress(OSError):
            self._server.shutdown()
            self._server.server_close()
        self._thread.join()
