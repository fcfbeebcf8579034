"""Timing on a device, and a description of the device."""

import os
import time
from collections.abc import Callable

import torch


def timed(run: Callable[[], object], device: str = "cpu") -> float:
    """Return the seconds that `run` takes, pending GPU work included."""
    finish(device)
    start = time.perf_counter()
    run()
    finish(device)
    return time.perf_counter() - start


def finish(device: str) -> None:
    """Wait until all work queued on a GPU is done."""
    if device == "cuda":
        torch.cuda.synchronize()


def machine(device: str = "cpu") -> str:
    """Return a one-line description of the hardware and of torch."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, torch {torch.__version__}"
    return f"{os.cpu_count()} processors, {torch.get_num_threads()} threads, torch {torch.__version__}"
