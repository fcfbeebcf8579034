"""The forward pass by ONNX Runtime: the one that serves."""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.networks.spec import INPUT, NetworkSpec, check_layer
from zfscope.processors import usable_cpus
from zfscope.runtimes.onnx_cache import EXPORTER_VERSION, cached_graph, default_cache
from zfscope.runtimes.onnx_session import open_session
from zfscope.runtimes.protocol import check_images
from zfscope.store.store import Model


class OnnxRuntime:
    """Runs an ONNX graph whose input has the name and size of the spec's."""

    name = "onnx"

    def __init__(
        self, graph: Path | bytes, spec: NetworkSpec, *, threads: int | None = None, device: str = "cpu"
    ) -> None:
        """Open a session. threads: of one forward pass; None takes the CPUs this process may use.

        Raises RuntimeUnavailable where ONNX Runtime is not installed or cannot use the device.
        """
        self._graph, self._spec, self._device = graph, spec, device
        self._threads = threads or usable_cpus()
        self._session = self._open(graph, keep_memory=True)
        self._session_of_layers: Any = None
        self._opening = threading.Lock()

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the class scores of images; see `Runtime`."""
        check_images(images, self._spec)
        (scores,) = self._run(self._session, None, images)
        return scores

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Give what layers give for images; see `Runtime`.

        The first call opens a session of its own, whose graph keeps every layer apart: one that gives class
        scores alone computes layers together, and is faster.
        """
        check_images(images, self._spec)
        for layer in layers:
            check_layer(self._spec, layer, field="layers")
        names = list(dict.fromkeys(layers))
        found = self._run(self._layers(), names, images) if names else []
        return dict(zip(names, found, strict=True))

    def check(self) -> None:
        """Say nothing: what runs here is here."""

    def _run(
        self, session: Any, names: list[str] | None, images: NDArray[np.float32]
    ) -> list[NDArray[np.float32]]:
        """Run a pass. CUDA chooses its kernels anew for every size of a batch: there, few sizes are run."""
        fed = filled_up(images) if self._device == "cuda" else np.ascontiguousarray(images)
        return [values[: len(images)] for values in session.run(names, {INPUT: fed})]

    def _layers(self) -> Any:
        with self._opening:
            if self._session_of_layers is None:
                from zfscope.runtimes.onnx_graph import with_layers  # brings onnx, as for `export_model`

                graph = self._graph if isinstance(self._graph, bytes) else self._graph.read_bytes()
                names = [layer.name for layer in self._spec.layers]
                self._session_of_layers = self._open(with_layers(graph, self._spec, names))
            return self._session_of_layers

    def _open(self, graph: Path | bytes, *, keep_memory: bool = False) -> Any:
        return open_session(graph, threads=self._threads, device=self._device, keep_memory=keep_memory)


def filled_up(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add blank images to a batch until it has 1, 2, 4, 8, 16 ... of them."""
    size = 1 << (len(images) - 1).bit_length()
    filled = np.zeros((size, *images.shape[1:]), np.float32)
    filled[: len(images)] = images
    return filled


def model_graph(model: Model, cache: Path | None = None) -> Path | bytes:
    """Give the graph of a model out of the cache (None: this user's own), exported on demand."""
    return cached_graph(cache or default_cache(), graph_key(model), lambda: export_model(model))


def graph_key(model: Model, *variant: str) -> str:
    """Name the graph by all that it is made of: exporter, weights, network, and what sets a variant apart."""
    parts = (str(EXPORTER_VERSION), model.weights_sha256, model.manifest.network.model_dump_json(), *variant)
    return f"{model.name}-{model.version}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"


def export_model(model: Model) -> bytes:
    """Write a model as ONNX."""
    from zfscope.runtimes.onnx_graph import onnx_graph  # brings onnx, which a warm cache does without

    return onnx_graph(model.spec, model.weights.arrays())
