"""Pickles of numpy arrays, and of nothing else: the one place that unpickles.

Some weights are published as pickles, and a pickle may name any function and call it. This reader knows
three names, those that numpy writes for an array of numbers, and refuses every other before it is looked up.
"""

import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}

Arrays = Mapping[str, NDArray[np.float32]]


class _ArraysOnly(pickle.Unpickler):
    """Finds nothing but what an array is made of."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for '{module}.{name}'; only arrays are read")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for an object from elsewhere; only arrays are read")


def read_arrays(data: bytes) -> Arrays:
    """Read a pickle of nested dicts and lists of float32 arrays, named by their keys joined by dots.

    Raises ValueError for one that holds or names anything else.
    """
    try:
        read = _ArraysOnly(io.BytesIO(data)).load()
    except Exception as error:  # a broken pickle raises nearly anything
        raise ValueError(f"no pickle of arrays: {error}") from error
    return dict(_flat(read, ""))


def oihw(arrays: Arrays, parts: Mapping[str, str]) -> dict[str, Tensor]:
    """Give arrays as tensors, filters turned from (rows, columns, in, out) to (out, in, rows, columns).

    parts: what the last part of a name becomes. Raises ValueError for a part of another name.
    """
    tensors = {}
    for name, array in arrays.items():
        layer, _, part = name.rpartition(".")
        if part not in parts:
            raise ValueError(f"'{name}' is neither filters nor biases")
        tensor = torch.from_numpy(array.copy())
        tensors[f"{layer}.{parts[part]}"] = tensor.permute(3, 2, 0, 1) if tensor.dim() == 4 else tensor
    return tensors


def _flat(value: object, name: str) -> list[tuple[str, NDArray[np.float32]]]:
    if isinstance(value, dict):
        parts = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(str(number), part) for number, part in enumerate(value)]
    elif isinstance(value, np.ndarray) and value.dtype == np.float32:
        return [(name, value)]
    else:
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"'{name}' is of type {kind}; only float32 arrays are read")
    return [found for key, part in parts for found in _flat(part, f"{name}.{key}" if name else key)]
