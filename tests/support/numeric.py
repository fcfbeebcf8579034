"""Comparison of floating-point results whose sums were computed in different orders."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# Suits a tiny network: a few layers of some hundred additions each.
ULPS = 256


def assert_close(
    actual: Any, expected: Any, *, ulps: float = ULPS, largest: float | None = None, name: str = ""
) -> None:
    """Assert that two results agree within the rounding errors of their sums.

    The last bits of a floating-point sum depend on the order of its terms, and the order depends on the
    processor's vector width, the number of threads, the batch size and the library: processes, batches,
    runtimes and machines disagree there. The disagreement is a few roundings of the *largest* terms, even if
    the result is small because large terms cancel. A tolerance relative to each number, as in
    `pytest.approx` and `rtol`, is therefore too strict for small results by an unbounded factor.

    actual, expected: numbers, sequences, arrays or tensors of the same shape; plain numbers are float32.
    ulps: allowed difference, in units in the last place of the largest number.
    largest: magnitude of the summed terms; default: the largest magnitude in `expected`. Pass it if
    `expected` holds small differences of large terms.
    """
    wanted, result = _array(expected), _array(actual)
    assert result.shape == wanted.shape, f"{name}: shape {result.shape}, expected {wanted.shape}"
    if wanted.size == 0:
        return
    scale = float(np.abs(wanted).max()) if largest is None else largest
    unit = float(np.spacing(wanted.dtype.type(scale)))
    np.testing.assert_allclose(result, wanted, rtol=0, atol=ulps * unit, err_msg=name)


def _array(numbers: Any) -> NDArray[Any]:
    if isinstance(numbers, torch.Tensor):
        return numbers.detach().cpu().numpy()
    if isinstance(numbers, np.ndarray | np.floating):
        return np.asarray(numbers)
    return np.asarray(numbers, np.float32)
