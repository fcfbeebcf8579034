"""How long something takes on a device, and what the device is."""

import os
import time
from collections.abc import Callable

import torch


def timed(run: Callable[[], object], device: str = "cpu") -> float:
    """Give the seconds that a run takes; what a GPU still has to do is waited for."""
    finish(device)
    start = time.perf_counter()
    run()
    finish(device)
    return time.perf_counter() - start


def finish(device: str) -> None:
    """Wait for what was given to a GPU to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def machine(device: str = "cpu") -> str:
    """Name what computes."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, torch {torch.__version__}"
    return f"{os.cpu_count()} processors, {torch.get_num_threads()} threads, torch {torch.__version__}"
