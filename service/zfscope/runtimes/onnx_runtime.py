"""The forward pass by ONNX Runtime: the one that serves."""

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zfscope.networks.spec import INPUT, NetworkSpec
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
        self._spec = spec
        self._session = open_session(graph, threads=threads or len(os.sched_getaffinity(0)), device=device)

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the class scores of images; see `Runtime`."""
        check_images(images, self._spec)
        scores: NDArray[np.float32] = self._session.run(None, {INPUT: np.ascontiguousarray(images)})[0]
        return scores


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

    weights = {name: tensor.numpy() for name, tensor in model.network.layers.state_dict().items()}
    return onnx_graph(model.network.spec, weights)
