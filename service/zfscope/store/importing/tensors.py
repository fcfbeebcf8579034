"""Tensors by name out of a file, without running anything that is in it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """Read a file of tensors by its ending: `.safetensors`, `.npz`, or a torch state dict (`.pth`).

    A state dict is unpickled by torch's own list of what is harmless (`weights_only`), an `.npz` without
    pickles. Raises ValueError for what can not be read so, OSError where there is no such file.
    """
    with path.open("rb"):  # what is no file is told as such, whoever reads it
        pass
    if path.suffix == ".safetensors":
        return _safetensors(path)
    return _npz(path) if path.suffix == ".npz" else _state_dict(path)


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        return safetensors.torch.load(path.read_bytes())
    except (SafetensorError, KeyError) as error:  # KeyError: a type that torch does not have
        raise ValueError(f"no safetensors file: {error}") from error


def _npz(path: Path) -> Mapping[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(np.array(arrays[name], np.float32)) for name in arrays.files}
    except Exception as error:  # zipfile, zlib and numpy have many
        raise ValueError(f"no .npz file of plain numbers ({error})") from error


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    try:
        read = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no class of its own for what it refuses
        raise ValueError("no state dict that can be read without running code out of it") from error
    if not isinstance(read, Mapping) or not all(isinstance(tensor, Tensor) for tensor in read.values()):
        raise ValueError("no state dict: a mapping of names to tensors is wanted")
    return {str(name): tensor for name, tensor in read.items()}
