"""Reading named tensors from a file, without running any code in it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """Read tensors in the format of the file's suffix: `.safetensors`, `.npz`, or else a torch state dict.

    A state dict is unpickled with torch's allow-list (`weights_only`), an `.npz` without pickles. Raises
    ValueError if the file is not in that format or contains anything else, OSError if it cannot be opened.
    """
    with path.open("rb"):  # the readers below would report a missing file as a damaged one
        pass
    if path.suffix == ".safetensors":
        return _safetensors(path)
    return _npz(path) if path.suffix == ".npz" else _state_dict(path)


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        return safetensors.torch.load(path.read_bytes())
    except (SafetensorError, KeyError) as error:  # KeyError: a type that torch lacks
        raise ValueError(f"not a safetensors file: {error}") from error


def _npz(path: Path) -> Mapping[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(np.array(arrays[name], np.float32)) for name in arrays.files}
    except Exception as error:  # zipfile, zlib and NumPy raise many classes
        raise ValueError(f"not an .npz file of plain numbers ({error})") from error


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common class for these
        raise ValueError("not a state dict that can be read without running code from it") from error
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError("not a state dict: expected a mapping of names to tensors")
    return {str(name): tensor for name, tensor in state.items()}
