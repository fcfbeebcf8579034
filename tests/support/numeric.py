"""Comparison of numbers that two computations add up in different orders."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

ULPS = 256


def assert_close(
    actual: Any, expected: Any, *, ulps: float = ULPS, largest: float | None = None, name: str = ""
) -> None:
    """Assert that two results agree as far as the order of their sums allows.

    The last bits of a floating-point sum depend on the order of its terms, and the order on the processor's
    vectors, the number of threads, the size of the batch and the library: two processes, batches, runtimes or
    machines differ there. What they differ by is a few roundings of the *largest* numbers that are added up,
    also where a result is small because large terms cancel. A tolerance relative to each single number, which
    `pytest.approx` and `rtol` are, is too strict for such a result by any factor.

    actual, expected: numbers, sequences, arrays or tensors of one shape; plain numbers count as float32.
    ulps: allowed difference, in units in the last place of the largest number. 256 suit a tiny network: a few
    layers of some hundred additions each.
    largest: magnitude of what was added up, where `expected` holds only small differences of it.
    """
    wanted, found = _array(expected), _array(actual)
    assert found.shape == wanted.shape, f"{name}: shape {found.shape}, expected {wanted.shape}"
    if wanted.size == 0:
        return
    scale = float(np.abs(wanted).max()) if largest is None else largest
    unit = float(np.spacing(wanted.dtype.type(scale)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ulps * unit, err_msg=name)


def _array(numbers: Any) -> NDArray[Any]:
    if isinstance(numbers, torch.Tensor):
        return numbers.detach().cpu().numpy()
    if isinstance(numbers, np.ndarray | np.floating):
        return np.asarray(numbers)
    return np.asarray(numbers, np.float32)
