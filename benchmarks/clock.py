"""Timing on a CPU or GPU, and a description of the machine."""

import os
import time
from collections.abc import Callable

import torch


def timed(run: Callable[[], object], device: str = "cpu") -> float:
    """Return the seconds that `run` takes, pending GPU work included."""
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: str) -> None:
    """Wait for all work queued on a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def machine(device: str = "cpu") -> str:
    """Return a one-line description of the hardware and torch's version."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, torch {torch.__version__}"
    return f"{os.cpu_count()} processors, {torch.get_num_threads()} threads, torch {torch.__version__}"
