"""Weights as bytes and back: safetensors only, every tensor checked before it is used."""

from collections.abc import Mapping

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from zfscope.networks.network import Network
from zfscope.networks.shapes import Shape, tensor_shapes
from zfscope.networks.spec import NetworkSpec

MEAN_IMAGE = "mean_image"
"""The tensor beside the weights that is subtracted from a photo; no layer's key is without a dot."""

STORED_TYPES = (torch.float16, torch.float32)


def pack_weights(network: Network, mean_image: NDArray[np.float32] | None = None) -> bytes:
    """Give a network's weights in half precision, and the mean image (3, H, W) in full.

    Raises ValueError for a weight that is no finite number in half precision.
    """
    tensors = {
        name: tensor.detach().half().cpu().contiguous()
        for name, tensor in network.layers.state_dict().items()
    }
    for name, tensor in tensors.items():
        _check_finite(name, tensor)
    if mean_image is not None:
        tensors[MEAN_IMAGE] = torch.tensor(np.ascontiguousarray(mean_image, np.float32))
    return safetensors.torch.save(tensors)


def unpack_weights(data: bytes, spec: NetworkSpec) -> tuple[Network, NDArray[np.float32] | None]:
    """Build the network of a spec with the weights in `data`, ready to be used and no more trained.

    Weights become float32 whatever they were stored in. The second part is the mean image, read-only,
    where there is one. Raises ValueError, naming the tensor, for what does not fit the spec exactly.
    """
    tensors = parse_tensors(data)
    mean_image = tensors.pop(MEAN_IMAGE, None)
    expected = tensor_shapes(spec)  # before the network: a manifest may state sizes that no memory holds
    _check_names(tensors, expected)
    check_tensors(tensors, expected)
    network = Network(spec)
    network.layers.load_state_dict(tensors, strict=True)
    network.eval().requires_grad_(False)
    return network, None if mean_image is None else _frozen_image(mean_image)


def parse_tensors(data: bytes) -> dict[str, Tensor]:
    """Parse safetensors bytes. Raises ValueError for anything else; nothing is ever unpickled."""
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"no safetensors file: {error}") from error


def check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Shape]) -> None:
    """Raise ValueError for a tensor of unknown name, other shape or type, or with numbers not finite.

    Of several faults the first in the order of `expected` is named: a file has no order of its own.
    """
    if unknown := sorted(tensors.keys() - expected.keys()):
        raise ValueError(f"tensor '{unknown[0]}' belongs to no layer of the network")
    for name in expected:
        if name in tensors:
            _check_stored(name, tensors[name], expected[name])


def _check_stored(name: str, tensor: Tensor, expected: Shape) -> None:
    if tuple(tensor.shape) != expected:
        shape = tuple(tensor.shape)
        raise ValueError(f"tensor '{name}' has the shape {shape}; the network needs {expected}")
    if tensor.dtype not in STORED_TYPES:
        raise ValueError(f"tensor '{name}' is {_type(tensor)}; allowed are float16 and float32")
    _check_finite(name, tensor)


def _check_names(tensors: Mapping[str, Tensor], expected: Mapping[str, Shape]) -> None:
    missing = [name for name in expected if name not in tensors]
    if missing:
        raise ValueError(f"tensor '{missing[0]}' is missing")


def _check_finite(name: str, tensor: Tensor) -> None:
    # A sum is finite only if every part is: no mask as large as the weights is made.
    if not torch.isfinite(tensor.sum(dtype=torch.float64)):
        raise ValueError(f"tensor '{name}' has values that are no finite numbers in {_type(tensor)}")


def _frozen_image(tensor: Tensor) -> NDArray[np.float32]:
    if tensor.dtype != torch.float32 or tensor.dim() != 3:
        found = f"{_type(tensor)} of shape {tuple(tensor.shape)}"
        raise ValueError(f"tensor '{MEAN_IMAGE}' is {found}; it must be float32 (channels, rows, columns)")
    _check_finite(MEAN_IMAGE, tensor)
    image: NDArray[np.float32] = tensor.numpy()
    image.setflags(write=False)
    return image


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
