"""Weights as bytes and back: safetensors only, every tensor checked before it is used."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from zfscope.networks.layers import Shape
from zfscope.networks.spec import NetworkSpec, tensor_shapes

if TYPE_CHECKING:
    from zfscope.networks.network import Network

MEAN_IMAGE = "mean_image"
"""The tensor beside the weights that is subtracted from a photo; no layer's key is without a dot."""

# Types in which tensors may be stored, by their names in safetensors.
_STORED_TYPES = {"F16": np.float16, "F32": np.float32}

Arrays = Mapping[str, NDArray[np.floating[Any]]]
"""Tensors by name: `conv1.weight` (out, in, rows, columns), `fc6.bias` (out,) and so on."""


class Weights:
    """The weights of a network, which is built when it is first used. Many threads may share them.

    Until then they are kept as they were stored, and nothing here imports torch: a forward pass by ONNX
    Runtime takes neither the network nor the time to import it.
    """

    def __init__(self, spec: NetworkSpec, arrays: Arrays, *, device: str = "cpu") -> None:
        """Keep arrays that were checked against a spec. device: of the network, `cpu` or `cuda`."""
        self._spec, self._device = spec, device
        self._arrays: Arrays | None = arrays
        self._network: Network | None = None
        self._building = threading.Lock()

    @classmethod
    def from_network(cls, network: "Network") -> "Weights":
        """Return the weights of a network that is already built."""
        weights = cls(network.spec, {})
        weights._arrays, weights._network = None, network
        return weights

    @property
    def network(self) -> "Network":
        """The network: float32, in evaluation mode, without gradients, on its device."""
        return self._network or self._build()

    def _build(self) -> "Network":
        with self._building:  # two threads that use it first at once build it once
            if self._network is None:
                assert self._arrays is not None
                from zfscope.networks.network import network_of, on_device

                self._network = on_device(network_of(self._spec, self._arrays), self._device)
                self._arrays = None
            return self._network

    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """Return the weights as float32 arrays; this does not build the network."""
        with self._building:
            arrays, network = self._arrays, self._network
        if network is not None:
            state = network.layers.state_dict()
            return {name: tensor.float().cpu().numpy() for name, tensor in state.items()}
        assert arrays is not None
        return {name: array.astype(np.float32) for name, array in arrays.items()}

    def on_device(self, device: str) -> "Weights":
        """Return the weights with a network on `cpu` or `cuda`; one that is already built is moved."""
        with self._building:
            if self._arrays is not None:
                return Weights(self._spec, self._arrays, device=device)
        from zfscope.networks.network import on_device

        return Weights.from_network(on_device(self.network, device))


def pack_weights(network: "Network", mean_image: NDArray[np.float32] | None = None) -> bytes:
    """Give a network's weights in half precision, and the mean image (3, H, W) in full.

    Raises ValueError for a weight that is no finite number in half precision.
    """
    arrays: dict[str, NDArray[Any]] = {
        name: tensor.detach().half().cpu().contiguous().numpy()
        for name, tensor in network.layers.state_dict().items()
    }
    for name, array in arrays.items():
        _check_finite(name, array)
    if mean_image is not None:
        arrays[MEAN_IMAGE] = np.ascontiguousarray(mean_image, np.float32)
    return safetensors.numpy.save(arrays)


def unpack_weights(data: bytes, spec: NetworkSpec) -> tuple[Weights, NDArray[np.float32] | None]:
    """Read the weights in `data` and check that they are those of a spec.

    The second part is the mean image, read-only, where there is one. Raises ValueError, naming the tensor,
    for what does not fit the spec exactly.
    """
    arrays = dict(parse_arrays(data))
    mean_image = arrays.pop(MEAN_IMAGE, None)
    expected = tensor_shapes(spec)
    _check_names(arrays, expected)
    check_arrays(arrays, expected)
    return Weights(spec, arrays), None if mean_image is None else _frozen_image(mean_image)


def parse_arrays(data: bytes) -> Arrays:
    """Parse safetensors bytes of float16 and float32. Raises ValueError for anything else."""
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]  # it ships no types
    except SafetensorError as error:
        raise ValueError(f"no safetensors file: {error}") from error
    return {name: _array(name, **tensor) for name, tensor in sorted(tensors)}


def _array(name: str, dtype: str, shape: list[int], data: bytearray) -> NDArray[np.floating[Any]]:
    if dtype not in _STORED_TYPES:
        raise ValueError(f"tensor '{name}' is {dtype}; allowed are float16 and float32")
    return np.frombuffer(data, _STORED_TYPES[dtype]).reshape(shape)


def check_arrays(arrays: Arrays, expected: Mapping[str, Shape]) -> None:
    """Raise ValueError for a tensor of unknown name, of another shape, or with numbers not finite.

    Of several faults the first in the order of `expected` is named: a file has no order of its own.
    """
    if unknown := sorted(arrays.keys() - expected.keys()):
        raise ValueError(f"tensor '{unknown[0]}' belongs to no layer of the network")
    for name in expected:
        if name in arrays:
            _check_stored(name, arrays[name], expected[name])


def _check_stored(name: str, array: NDArray[np.floating[Any]], expected: Shape) -> None:
    if array.shape != expected:
        raise ValueError(f"tensor '{name}' has the shape {array.shape}; the network needs {expected}")
    _check_finite(name, array)


def _check_names(arrays: Arrays, expected: Mapping[str, Shape]) -> None:
    missing = [name for name in expected if name not in arrays]
    if missing:
        raise ValueError(f"tensor '{missing[0]}' is missing")


def _check_finite(name: str, array: NDArray[np.floating[Any]]) -> None:
    # A sum is finite only if every part is: no mask as large as the weights is made.
    if not np.isfinite(array.sum(dtype=np.float64)):
        raise ValueError(f"tensor '{name}' has values that are no finite numbers in {array.dtype}")


def _frozen_image(array: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    if array.dtype != np.float32 or array.ndim != 3:
        found = f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"tensor '{MEAN_IMAGE}' is {found}; it must be float32 (channels, rows, columns)")
    _check_finite(MEAN_IMAGE, array)
    image: NDArray[np.float32] = array.astype(np.float32, copy=False)
    image.setflags(write=False)
    return image
