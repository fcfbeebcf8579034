"""ONNX Runtime sessions, with tuned settings and without silent fallback to the CPU."""

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from zfscope.choices import PrecisionName
from zfscope.errors import RuntimeUnavailable
from zfscope.ort import import_onnxruntime

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_EXTRAS = {"cpu": "cpu", "cuda": "gpu"}
# Threads spin this long after a layer, in microseconds, and then sleep: they share the cores with the engine.
_SPIN_US = "1000"


def onnxruntime_for(device: str) -> Any:
    """Return the module of ONNX Runtime.

    Raises RuntimeUnavailable if it is not installed or was built without support for the device, `cpu` or
    `cuda`.
    """
    try:
        onnxruntime = import_onnxruntime()
    except ImportError as error:
        raise RuntimeUnavailable(
            "runtime 'onnx' requires ONNX Runtime: pip install 'zfscope[cpu]' or 'zfscope[gpu]'"
        ) from error
    provider = _PROVIDERS[device]
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise RuntimeUnavailable(
            f"runtime 'onnx' cannot use {provider}: this build of ONNX Runtime has {', '.join(available)}; "
            f"install zfscope[{_EXTRAS[device]}] into a new environment"
        )
    return onnxruntime


def open_session(
    graph: Path | bytes,
    *,
    threads: int,
    device: str,
    precision: str = PrecisionName.float32,
    keep_memory: bool = False,
) -> Any:
    """Open a session. threads: threads per forward pass. device: `cpu` or `cuda`.

    precision: `float32`, or `tf32` on CUDA.
    keep_memory: keep the memory of a pass for the next one, instead of requesting fresh pages from the system
    for each pass. For ZFNet with eight images, this takes 85 MB and saves an eighth of the time. Raises
    RuntimeUnavailable like `onnxruntime_for`, and if the device cannot be used.
    """
    onnxruntime, provider = onnxruntime_for(device), _PROVIDERS[device]
    if device == "cuda":
        _load_cuda(onnxruntime)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
    options.enable_cpu_mem_arena = keep_memory
    source = graph if isinstance(graph, bytes) else str(graph)
    providers = [(provider, _provider_options(device, precision))]
    session = onnxruntime.InferenceSession(source, options, providers=providers)
    if session.get_providers()[0] != provider:  # ONNX Runtime falls back to the CPU silently
        raise RuntimeUnavailable(
            f"runtime 'onnx' cannot start {provider} and would use {session.get_providers()[0]}; the line "
            f"that ONNX Runtime printed says why, and so does `zfscope check-device --device {device}`"
        )
    return session


def _provider_options(device: str, precision: str) -> Mapping[str, str]:
    """Return the options of a provider: CUDA computes in TF32 by default, and is told whether to."""
    return {} if device == "cpu" else {"use_tf32": "1" if precision == PrecisionName.tf32 else "0"}


def _load_cuda(onnxruntime: Any) -> None:
    """Load the CUDA and cuDNN libraries installed by pip, which ONNX Runtime does not find by itself.

    Without them, a session falls back to the CPU unless torch has been imported before. ONNX Runtime prints
    the names of missing libraries: redirect these to standard error, since standard output may be JSON.
    """
    with redirect_stdout(sys.stderr):
        onnxruntime.preload_dlls()
