"""The forward pass by ONNX Runtime: the one that serves."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import RuntimeUnavailable
from zfscope.networks.spec import INPUT, NetworkSpec
from zfscope.runtimes.onnx_cache import EXPORTER_VERSION, cached_graph, default_cache
from zfscope.runtimes.protocol import check_images
from zfscope.store.store import Model

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


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
        self._session = _session(graph, threads or len(os.sched_getaffinity(0)), device)

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the class scores of images; see `Runtime`."""
        check_images(images, self._spec)
        scores: NDArray[np.float32] = self._session.run(None, {INPUT: np.ascontiguousarray(images)})[0]
        return scores


def model_graph(model: Model, cache: Path | None = None) -> Path | bytes:
    """Give the graph of a model out of the cache (None: this user's own), exported on demand."""
    return cached_graph(cache or default_cache(), graph_key(model), lambda: export_model(model))


def graph_key(model: Model) -> str:
    """Name the graph by all that it is made of: the exporter, the network and the weights."""
    parts = (str(EXPORTER_VERSION), model.weights_sha256, model.manifest.network.model_dump_json())
    return f"{model.name}-{model.version}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:16]}"


def export_model(model: Model) -> bytes:
    """Write a model as ONNX."""
    from zfscope.runtimes.onnx_graph import onnx_graph  # brings onnx, which a warm cache does without

    weights = {name: tensor.numpy() for name, tensor in model.network.layers.state_dict().items()}
    return onnx_graph(model.network.spec, weights)


def _session(graph: Path | bytes, threads: int, device: str) -> Any:  # onnxruntime is untyped
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeUnavailable(
            "runtime 'onnx' needs ONNX Runtime: pip install 'zfscope[cpu]' or 'zfscope[gpu]'"
        ) from error
    provider = _PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise RuntimeUnavailable(_no_provider(provider, onnxruntime.get_available_providers()))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The engine's threads share the cores: waiting ones sleep, and memory goes back between calls
    # (measured: 60 MB less resident, and no slower).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False
    source = graph if isinstance(graph, bytes) else str(graph)
    session = onnxruntime.InferenceSession(source, options, providers=[provider])
    if session.get_providers()[0] != provider:  # it falls back to the CPU without a word
        raise RuntimeUnavailable(_no_provider(provider, session.get_providers()))
    return session


def _no_provider(provider: str, present: list[str]) -> str:
    return f"runtime 'onnx' cannot use {provider}: ONNX Runtime here has {', '.join(present)}"
