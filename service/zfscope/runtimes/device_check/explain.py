"""Explanations of errors of CUDA, cuDNN and their loaders, which rarely say what to do."""

import re

from zfscope.errors import ZfscopeError

INSTALL = "install zfscope[gpu] into a new environment"
# Patterns in messages of torch, ONNX Runtime and the dynamic loader, each with its meaning and remedy.
_EXPLANATIONS = (
    (
        r"not compiled with CUDA|compiled with CUDA enabled",
        f"this build of PyTorch has no CUDA; {INSTALL}",
    ),
    (
        r"driver .*too old|driver version is insufficient",
        "the NVIDIA driver is older than CUDA requires; update the driver",
    ),
    (
        r"Found no NVIDIA driver|no CUDA-capable device|No CUDA GPUs are available",
        "CUDA finds no GPU; see the check of the NVIDIA driver, and CUDA_VISIBLE_DEVICES",
    ),
    (
        r"no kernel image is available",
        "this build of PyTorch has no code for this GPU; use another build or another GPU",
    ),
    (
        r"out of memory",
        "the GPU's memory is full; stop other programs that use it (`nvidia-smi` lists them)",
    ),
    (
        r"cannot open shared object file|undefined symbol|DLL load failed",
        f"a library is missing or of another version; {INSTALL}",
    ),
    (
        r"cudnn",
        f"cuDNN failed, as it does if several versions of it are loaded; unset LD_LIBRARY_PATH, or {INSTALL}",
    ),
    (
        r"cuda error|cuda failure|cublas",
        "the GPU or its driver reported an error; `nvidia-smi` shows its state",
    ),
)
_UNKNOWN = "an unexpected error, probably a bug in zfscope or in this library"
_MAX_CHARS = 300


def explain(error: Exception) -> str:
    """Return what an error means and what to do, followed by the first line of its own message."""
    if isinstance(error, ZfscopeError):  # already written for users
        return str(error)
    message = " ".join(str(error).strip().partition("\n")[0].split())[:_MAX_CHARS]
    return f"{_meaning(error)} ({type(error).__name__}{': ' if message else ''}{message})"


def _meaning(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"the package '{error.name}' is not installed; {INSTALL}, or zfscope[cpu] for the CPU"
    for pattern, meaning in _EXPLANATIONS:
        if re.search(pattern, str(error), re.IGNORECASE):
            return meaning
    return _UNKNOWN
