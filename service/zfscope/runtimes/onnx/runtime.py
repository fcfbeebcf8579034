"""The ONNX Runtime runtime, the default."""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.choices import PrecisionName
from zfscope.networks.spec import INPUT, NetworkSpec
from zfscope.processors import usable_cpus
from zfscope.runtimes.onnx.cache import cells_graph, layers_graph, maxima_graph, model_graph
from zfscope.runtimes.onnx.session import onnxruntime_for, open_session
from zfscope.runtimes.protocol import MapMaxima, check_call, check_images, from_arrays, runtime_title
from zfscope.store.store import Model

Graph = Path | bytes


class OnnxRuntime:
    """Runs separate graphs of a model for class scores, layer outputs, map maxima and cell maxima.

    Each graph has its own session; graphs are exported and sessions opened on first use. A graph that outputs
    only class scores is faster, since its layers can be fused.
    """

    name = "onnx"

    def __init__(
        self,
        model: Model,
        *,
        cache: Path | None = None,
        threads: int | None = None,
        device: str = "cpu",
        precision: str = PrecisionName.float32,
    ) -> None:
        """Create the runtime without opening a session. cache, threads: see `create_runtime`.

        precision: `float32`, or `tf32` on CUDA.

        With one thread, results do not depend on the number of cores, which affects how sums are split and
        hence rounded. Raises RuntimeUnavailable if ONNX Runtime is not installed or was built without support
        for the device; if the device cannot be used, the first pass raises it.
        """
        onnxruntime_for(device)
        self.precision = str(precision)
        self._model: Model | None = model
        self._spec, self._cache, self._device = model.spec, cache, device
        self._threads = threads or usable_cpus()
        self._graphs: dict[Hashable, Graph] = {}
        self._sessions: dict[Hashable, Any] = {}
        self._opening = threading.Lock()

    def __getstate__(self) -> tuple[NetworkSpec, int, Mapping[Hashable, bytes]]:
        """Pickle only the graphs used so far, without the model and the cache."""
        graphs = {
            key: graph if isinstance(graph, bytes) else graph.read_bytes()
            for key, graph in self._graphs.items()
        }
        return self._spec, self._threads, graphs

    def __setstate__(self, state: tuple[NetworkSpec, int, Mapping[Hashable, bytes]]) -> None:
        """Restore the graphs; their sessions are opened on first use."""
        self._spec, self._threads, graphs = state
        self._model, self._cache = None, None
        self._device, self.precision = "cpu", PrecisionName.float32.value
        self._graphs, self._sessions, self._opening = dict(graphs), {}, threading.Lock()

    @property
    def title(self) -> str:
        """Name, and device unless it is the CPU; see `Runtime`."""
        return runtime_title(self.name, self._device)

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class scores of images; see `Runtime`."""
        check_images(images, self._spec)
        session = self._session("scores", partial(model_graph, cache=self._cache))
        (scores,) = self._run(session, None, images)
        return scores

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the outputs of layers; see `Runtime`."""
        names = check_call(images, self._spec, layers)
        if not names:
            return {}
        session = self._session("layers", partial(layers_graph, cache=self._cache), keep_memory=False)
        return dict(zip(names, self._run(session, names, images), strict=True))

    def map_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str], *, sums: bool = False
    ) -> Mapping[str, MapMaxima]:
        """Return the maxima of maps, running only the layers needed for them; see `Runtime`."""
        names = check_call(images, self._spec, layers)
        if not names:
            return {}
        export = partial(maxima_graph, layers=names, sums=sums, cache=self._cache)
        session = self._session((names, sums), export)
        outputs = [output.name for output in session.get_outputs()]
        arrays = dict(zip(outputs, self._run(session, outputs, images), strict=True))
        return {name: from_arrays(name, arrays, sums=sums) for name in names}

    def cell_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the maxima of maps in cells, running only the layers needed for them; see `Runtime`."""
        names = check_call(images, self._spec, layers)
        if not names:
            return {}
        export = partial(cells_graph, layers=names, cache=self._cache)
        session = self._session((names, "cells"), export)
        return dict(zip(names, self._run(session, None, images), strict=True))

    def check(self) -> None:
        """Do nothing: this runtime runs in-process and is always available."""

    def _run(
        self, session: Any, names: Sequence[str] | None, images: NDArray[np.float32]
    ) -> list[NDArray[Any]]:
        """Run a pass. On CUDA, batches are padded, because each new size costs a slow kernel selection."""
        batch = pad_batch(images) if self._device == "cuda" else np.ascontiguousarray(images)
        return [values[: len(images)] for values in session.run(names, {INPUT: batch})]

    def _session(self, key: Hashable, export: Callable[[Model], Graph], *, keep_memory: bool = True) -> Any:
        with self._opening:
            if key not in self._sessions:
                graph = self._graph(key, export)
                self._sessions[key] = open_session(
                    graph,
                    threads=self._threads,
                    device=self._device,
                    precision=self.precision,
                    keep_memory=keep_memory,
                )
            return self._sessions[key]

    def _graph(self, key: Hashable, export: Callable[[Model], Graph]) -> Graph:
        """Return a graph: exported and kept for pickling; or unpickled, and then released."""
        if self._model is None:
            return self._graphs.pop(key)
        return self._graphs.setdefault(key, export(self._model))


def pad_batch(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pad a batch with blank images to the next power of two in size."""
    size = 1 << (len(images) - 1).bit_length()
    batch = np.zeros((size, *images.shape[1:]), np.float32)
    batch[: len(images)] = images
    return batch
