"""A runtime that says what goes through it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from zfscope.runtimes import Runtime
from zfscope.server.metrics import Metrics
from zfscope.server.tracing import part
from zfscope.store import Model


class Measured:
    """Counts and times the passes of another runtime, and makes them parts of the call that they are for."""

    def __init__(self, runtime: Runtime, model: Model, metrics: Metrics) -> None:
        self._runtime = runtime
        self._model = model
        self._metrics = metrics

    @property
    def name(self) -> str:
        """That of the other one."""
        return self._runtime.name

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the class scores of images; see `Runtime`."""
        with self._pass(len(images)):
            return self._runtime.forward(images)

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Give what layers give for images; see `Runtime`."""
        with self._pass(len(images)):
            return self._runtime.outputs(images, layers)

    def check(self) -> None:
        """Raise RuntimeUnavailable where a pass could not be run now; see `Runtime`."""
        self._runtime.check()

    @contextmanager
    def _pass(self, images: int) -> Iterator[None]:
        """Measure a pass that comes to its end."""
        started = time.perf_counter()
        with part("forward", images=images, runtime=self._runtime.name):
            yield
        seconds = time.perf_counter() - started
        self._metrics.passed(self._model.name, self._model.version, images=images, seconds=seconds)
