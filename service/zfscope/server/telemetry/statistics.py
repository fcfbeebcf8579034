"""Counts and durations of requests and passes for each model and analyzer, since the service started."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeVar

T = TypeVar("T")
# Parts of a call: waiting in queues, preparing images, forward passes or an analyzer, encoding outputs.
Part = Literal["queue", "input", "infer", "output"]
# Name of a model, or MODEL/ANALYZER, and version of the model.
Key = tuple[str, int]


@dataclass
class Duration:
    """Number of events and their total duration in nanoseconds."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        """Count an event."""
        self.count += 1
        self.ns += ns


@dataclass
class TargetStatistics:
    """Statistics of a version of a model or analyzer.

    calls: durations of calls by outcome, `success` and `fail`, and of the parts of successful ones. passes:
    forward passes by number of images. last_ms: time of the last pass or run, in milliseconds since 1970.
    """

    calls: dict[str, Duration] = field(default_factory=lambda: defaultdict(Duration))
    passes: dict[int, Duration] = field(default_factory=lambda: defaultdict(Duration))
    last_ms: int = 0


class CallTimes:
    """Durations of the parts of one call, in nanoseconds."""

    def __init__(self) -> None:
        self.parts: Counter[Part] = Counter()
        self._started = time.perf_counter_ns()

    @property
    def total_ns(self) -> int:
        """Time since the call started."""
        return time.perf_counter_ns() - self._started

    @contextmanager
    def measure(self, part: Part) -> Iterator[None]:
        """Add the duration of a block."""
        started = time.perf_counter_ns()
        try:
            yield
        finally:
            self.parts[part] += time.perf_counter_ns() - started

    async def run(
        self, pool: Callable[[Callable[[], T]], Awaitable[T]], part: Part, work: Callable[[], T]
    ) -> T:
        """Run work by the method `run` of a `WorkerPool`; add the time until it starts to `queue`."""
        queued = time.perf_counter_ns()

        def measured() -> T:
            self.parts["queue"] += time.perf_counter_ns() - queued
            with self.measure(part):
                return work()

        return await pool(measured)

    async def run_passes(self, run: Callable[[Callable[[float], object]], Awaitable[T]]) -> T:
        """Run forward passes: add the time until the first starts to `queue`, and the rest to `infer`.

        run: called with a function that gets the seconds that each image waited.
        """
        waits_s: list[float] = []
        started = time.perf_counter_ns()
        result = await run(waits_s.append)
        elapsed = time.perf_counter_ns() - started
        waited = min(elapsed, round(min(waits_s, default=0) * 1e9))
        self.parts["queue"] += waited
        self.parts["infer"] += elapsed - waited
        return result


class InferenceStatistics:
    """Statistics of all models and analyzers; thread-safe."""

    def __init__(self) -> None:
        self._targets: dict[Key, TargetStatistics] = defaultdict(TargetStatistics)
        self._lock = threading.Lock()

    def record_pass(self, model: str, version: int, *, images: int, seconds: float) -> None:
        """Count a forward pass of a model."""
        with self._lock:
            target = self._targets[model, version]
            target.passes[images].add(round(seconds * 1e9))
            target.last_ms = time.time_ns() // 1_000_000

    def record_call(self, key: Key, times: CallTimes, *, success: bool) -> None:
        """Count a ModelInfer call of a model or analyzer."""
        with self._lock:
            target = self._targets[key]
            target.calls["success" if success else "fail"].add(times.total_ns)
            if success:
                target.last_ms = time.time_ns() // 1_000_000
                for part in ("queue", "input", "infer", "output"):
                    target.calls[part].add(times.parts[part])

    def snapshot(self) -> dict[Key, TargetStatistics]:
        """Return a copy of the statistics of all targets that were used."""
        with self._lock:
            return {
                key: TargetStatistics(
                    {name: Duration(each.count, each.ns) for name, each in target.calls.items()},
                    {images: Duration(each.count, each.ns) for images, each in target.passes.items()},
                    target.last_ms,
                )
                for key, target in self._targets.items()
            }
