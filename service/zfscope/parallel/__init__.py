"""Engines that process the photos of a data set in parallel: threads of this process, or a Ray cluster."""

from zfscope.parallel.batches import Batch, BatchResult, UnusedPhoto, Work
from zfscope.parallel.engine import ENGINES, Engine, LocalEngine, create_engine

__all__ = [
    "ENGINES",
    "Batch",
    "BatchResult",
    "Engine",
    "LocalEngine",
    "UnusedPhoto",
    "Work",
    "create_engine",
]
