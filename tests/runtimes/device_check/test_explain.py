"""Explanations of errors: what is wrong and what to do, before the library's own words."""

import re

import pytest
import torch

from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes.device_check.explain import explain

LOADER = "libcudnn.so.9: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (
            AssertionError("Torch not compiled with CUDA enabled"),
            "this build of PyTorch has no CUDA; install",
        ),
        (
            RuntimeError("The NVIDIA driver on your system is too old (found version 12040)."),
            "update the driver",
        ),
        (
            RuntimeError("CUDA error: CUDA driver version is insufficient for CUDA runtime version"),
            "update the driver",
        ),
        (RuntimeError("Found no NVIDIA driver on your system."), "CUDA finds no GPU; see"),
        (RuntimeError("No CUDA GPUs are available"), "CUDA_VISIBLE_DEVICES"),
        (
            RuntimeError("CUDA error: no kernel image is available for execution on the device"),
            "no code for this GPU",
        ),
        (
            torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB."),
            "memory is full; stop",
        ),
        (OSError(LOADER), "a library is missing or of another version; install"),
        (ImportError(LOADER), "a library is missing or of another version; install"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), "cuDNN failed, .* unset LD_LIBRARY_PATH"),
        (
            RuntimeError("CUDA error: an illegal memory access was encountered"),
            "`nvidia-smi` shows its state",
        ),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "'torch' is not installed; install"),
        (ValueError("surprise"), "unexpected error"),
    ],
)
def test_an_error_is_explained_and_quoted(error: Exception, meaning: str) -> None:
    text = explain(error)
    assert re.search(meaning, text)
    assert text.endswith(f"({type(error).__name__}: {error})")


def test_an_error_written_for_users_is_unchanged() -> None:
    assert (
        explain(RuntimeUnavailable("TorchServe at x:1 is unreachable")) == "TorchServe at x:1 is unreachable"
    )


def test_only_the_first_line_of_a_message_is_quoted() -> None:
    error = RuntimeError("CUDA error: unknown error\nCUDA kernel errors might be\nreported later")
    assert explain(error).endswith("(RuntimeError: CUDA error: unknown error)")


def test_an_error_without_a_message_is_named() -> None:
    assert explain(MemoryError()).endswith("(MemoryError)")
