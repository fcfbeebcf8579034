"""Seeds for methods that draw from the global generators of torch and numpy."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_lock = threading.Lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch and numpy for the block, and restore them; one block at a time."""
    with _lock, torch.random.fork_rng():
        before = np.random.get_state()  # noqa: NPY002  # the generator that Captum uses
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002
