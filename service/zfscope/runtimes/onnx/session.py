"""A session of ONNX Runtime, with the settings that were measured here and no silent fallback."""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from zfscope.errors import RuntimeUnavailable

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_OPTIONS = {"cpu": {}, "cuda": {"use_tf32": "0"}}
"""On CUDA it would round numbers to ten bits (TF32), and give other scores than a CPU."""
_SPIN_US = "1000"


def import_onnxruntime(device: str) -> Any:
    """Import ONNX Runtime, which is untyped.

    Raises RuntimeUnavailable where it is not installed or was built without the device, `cpu` or `cuda`.
    """
    # ONNX Runtime would keep an identifier of this machine in the user's cache, and may report its use.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeUnavailable(
            "runtime 'onnx' needs ONNX Runtime: pip install 'zfscope[cpu]' or 'zfscope[gpu]'"
        ) from error
    provider = _PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise RuntimeUnavailable(_no_provider(provider, onnxruntime.get_available_providers()))
    return onnxruntime


def open_session(graph: Path | bytes, *, threads: int, device: str, keep_memory: bool = False) -> Any:
    """Open a session, which is untyped. threads: of one forward pass. device: `cpu` or `cuda`.

    keep_memory: hold what a pass used for the next one, for passes without end: else each asks the system
    for fresh pages, which took an eighth of the time of zfnet's, on eight images at once. They keep 85 MB.
    Raises RuntimeUnavailable as `import_onnxruntime`, and where the device cannot be used.
    """
    onnxruntime, provider = import_onnxruntime(device), _PROVIDERS[device]
    if device == "cuda":
        _load_cuda(onnxruntime)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Waiting threads stay awake from one layer to the next; then they sleep: the engine's share the cores.
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
    options.enable_cpu_mem_arena = keep_memory
    source = graph if isinstance(graph, bytes) else str(graph)
    session = onnxruntime.InferenceSession(source, options, providers=[(provider, _OPTIONS[device])])
    if session.get_providers()[0] != provider:  # it falls back to the CPU without a word
        raise RuntimeUnavailable(_no_provider(provider, session.get_providers()))
    return session


def _load_cuda(onnxruntime: Any) -> None:
    """Load the CUDA and cuDNN libraries of pip's packages, which ONNX Runtime does not look for by itself.

    Without them a session falls back to the CPU, unless torch happens to have been imported before. What
    cannot be loaded is printed by ONNX Runtime, here on standard error: standard output may be JSON.
    """
    with redirect_stdout(sys.stderr):
        onnxruntime.preload_dlls()


def _no_provider(provider: str, present: list[str]) -> str:
    return f"runtime 'onnx' cannot use {provider}: ONNX Runtime here has {', '.join(present)}"
