"""Safe reader for pickled NumPy arrays: the only module that unpickles.

Some weights are published as pickles, and a pickle can call any function it names. This reader allows only
the three names that NumPy writes for an array of numbers, and rejects all others before looking them up.
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
    """Unpickler that resolves only the names a NumPy array consists of."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"'{module}.{name}' is not allowed; only NumPy arrays are read")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("persistent references are not allowed; only NumPy arrays are read")


def read_arrays(data: bytes) -> Arrays:
    """Read a pickle of nested dicts and lists of float32 arrays; join their keys by dots into names.

    Raises ValueError if the pickle contains or refers to anything else.
    """
    try:
        tree = _ArraysOnly(io.BytesIO(data)).load()
    except Exception as error:  # a broken pickle raises nearly anything
        raise ValueError(f"not a pickle of arrays: {error}") from error
    return dict(_flatten(tree, ""))


def oihw(arrays: Arrays, parts: Mapping[str, str]) -> dict[str, Tensor]:
    """Return tensors; filters are transposed from (rows, columns, in, out) to (out, in, rows, columns).

    parts: maps the last part of each array's name to that of the tensor. Raises ValueError if the last part
    of a name is not in `parts`.
    """
    tensors = {}
    for name, array in arrays.items():
        layer, _, part = name.rpartition(".")
        if part not in parts:
            raise ValueError(f"'{name}' is neither a filter nor a bias array")
        tensor = torch.from_numpy(array.copy())
        tensors[f"{layer}.{parts[part]}"] = tensor.permute(3, 2, 0, 1) if tensor.dim() == 4 else tensor
    return tensors


def _flatten(value: object, name: str) -> list[tuple[str, NDArray[np.float32]]]:
    if isinstance(value, dict):
        parts = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(str(number), part) for number, part in enumerate(value)]
    elif isinstance(value, np.ndarray) and value.dtype == np.float32:
        return [(name, value)]
    else:
        kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"'{name}' is of type {kind}; only float32 arrays are read")
    return [entry for key, part in parts for entry in _flatten(part, f"{name}.{key}" if name else key)]
