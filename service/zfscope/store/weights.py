"""Reading and writing weights: safetensors only, every tensor checked before use."""

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from zfscope.choices import PrecisionName
from zfscope.networks.layer import Shape
from zfscope.networks.spec import NetworkSpec, tensor_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from zfscope.networks.network import Network

# Key of the mean image, stored with the weights. It cannot clash: keys of layers contain a dot.
MEAN_IMAGE = "mean_image"

# Precision of stored weights; see `zfscope.networks.precision` for that of computations.
Precision = Literal["float16", "float32"]

# Data types allowed for stored tensors, by their names in safetensors.
_STORED_TYPES = {"F16": np.float16, "F32": np.float32}

# Tensors by name: `conv1.weight` (out, in, rows, columns), `fc6.bias` (out,) and so on.
Arrays = Mapping[str, NDArray[np.floating[Any]]]


class Weights:
    """The weights of a network, which is built on first use. Safe to share between threads.

    Until then the arrays stay as stored and torch is not imported: a forward pass with ONNX Runtime needs
    neither the network nor torch.
    """

    def __init__(self, spec: NetworkSpec, arrays: Arrays, *, device: str = "cpu") -> None:
        """Keep arrays that were checked against a spec. device: device of the network, `cpu` or `cuda`."""
        self._spec, self._device = spec, device
        self._arrays: Arrays | None = arrays
        self._network: Network | None = None
        self._other: dict[str, Network] = {}
        self._building = threading.Lock()

    def __getstate__(self) -> tuple[NetworkSpec, Arrays, str]:
        """Pickle the arrays only; the network is built again."""
        return self._spec, self.arrays(), self._device

    def __setstate__(self, state: tuple[NetworkSpec, Arrays, str]) -> None:
        """Restore from copies of the arrays: those of Ray's object store are read-only."""
        spec, arrays, device = state
        Weights.__init__(self, spec, {name: array.copy() for name, array in arrays.items()}, device=device)

    @classmethod
    def from_network(cls, network: "Network") -> "Weights":
        """Return the weights of an existing network."""
        weights = cls(network.spec, {})
        weights._arrays, weights._network = None, network
        return weights

    @property
    def device(self) -> str:
        """Device of the network: `cpu` or `cuda`."""
        network = self._network
        return self._device if network is None else str(next(network.parameters()).device.type)

    @property
    def half(self) -> bool:
        """Whether all weights are exact in half precision; this does not build the network."""
        with np.errstate(over="ignore"):
            return all((array.astype(np.float16) == array).all() for array in self.arrays().values())

    @property
    def network(self) -> "Network":
        """The network: float32, in evaluation mode, without gradients, on its device."""
        return self._network or self._build()

    def _build(self) -> "Network":
        with self._building:  # built once, even if several threads need it at the same time
            if self._network is None:
                assert self._arrays is not None
                from zfscope.networks.network import network_with_weights, on_device

                self._network = on_device(network_with_weights(self._spec, self._arrays), self._device)
                self._arrays = None
            return self._network

    def network_in(self, precision: str) -> "Network":
        """Return the network in another precision: for `bfloat16`, a copy that is made once."""
        if precision != PrecisionName.bfloat16:  # tf32 has the weights of float32
            return self.network
        from zfscope.networks.precision import network_in

        network = self.network
        with self._building:
            if precision not in self._other:
                self._other[precision] = network_in(network, precision)
            return self._other[precision]

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
        """Return the weights with the network on `cpu` or `cuda`; an existing network is moved there."""
        with self._building:
            if self._arrays is not None:
                return Weights(self._spec, self._arrays, device=device)
        from zfscope.networks.network import on_device

        return Weights.from_network(on_device(self.network, device))


def pack_weights(
    network: "Network", mean_image: NDArray[np.float32] | None = None, *, precision: Precision = "float16"
) -> bytes:
    """Return a network's weights as safetensors, with the mean image, (C, H, W), in float32.

    Raises ValueError if a weight is not finite in that precision.
    """
    arrays: dict[str, NDArray[Any]] = {
        name: _as_stored(tensor, precision) for name, tensor in network.layers.state_dict().items()
    }
    for name, array in arrays.items():
        _check_finite(name, array)
    if mean_image is not None:
        arrays[MEAN_IMAGE] = np.ascontiguousarray(mean_image, np.float32)
    return safetensors.numpy.save(arrays)


def _as_stored(tensor: "Tensor", precision: Precision) -> NDArray[np.floating[Any]]:
    converted = tensor.half() if precision == "float16" else tensor.float()
    array: NDArray[np.floating[Any]] = converted.detach().cpu().contiguous().numpy()
    return array


def unpack_weights(data: bytes, spec: NetworkSpec) -> tuple[Weights, NDArray[np.float32] | None]:
    """Parse the weights in `data` and check that they match a spec exactly.

    Returns the weights and the mean image (read-only; None if the file has none). Raises ValueError, naming
    the tensor, for a missing, unknown or misshapen tensor.
    """
    arrays = dict(parse_arrays(data))
    mean_image = arrays.pop(MEAN_IMAGE, None)
    expected = tensor_shapes(spec)
    _check_names(arrays, expected)
    check_arrays(arrays, expected)
    return Weights(spec, arrays), None if mean_image is None else _frozen_image(mean_image)


def parse_arrays(data: bytes) -> Arrays:
    """Parse safetensors bytes with float16 and float32 tensors. Raises ValueError for anything else."""
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]  # safetensors ships no types
    except SafetensorError as error:
        raise ValueError(f"not a safetensors file: {error}") from error
    return {name: _array(name, **tensor) for name, tensor in sorted(tensors)}


def _array(name: str, dtype: str, shape: list[int], data: bytearray) -> NDArray[np.floating[Any]]:
    if dtype not in _STORED_TYPES:
        raise ValueError(f"tensor '{name}' has the type {dtype}; allowed: F16 and F32")
    return np.frombuffer(data, _STORED_TYPES[dtype]).reshape(shape)


def check_arrays(arrays: Arrays, expected: Mapping[str, Shape]) -> None:
    """Raise ValueError if a tensor is unknown, has the wrong shape, or has values that are not finite.

    The first fault in the order of `expected` is reported, since tensors in a file have no order.
    """
    if unknown := sorted(arrays.keys() - expected.keys()):
        raise ValueError(f"tensor '{unknown[0]}' belongs to no layer of the network")
    for name in expected:
        if name in arrays:
            _check_stored(name, arrays[name], expected[name])


def _check_stored(name: str, array: NDArray[np.floating[Any]], expected: Shape) -> None:
    if array.shape != expected:
        raise ValueError(f"tensor '{name}' has the shape {array.shape}; the network expects {expected}")
    _check_finite(name, array)


def _check_names(arrays: Arrays, expected: Mapping[str, Shape]) -> None:
    missing = [name for name in expected if name not in arrays]
    if missing:
        raise ValueError(f"tensor '{missing[0]}' is missing")


def _check_finite(name: str, array: NDArray[np.floating[Any]]) -> None:
    # A sum is finite only if every term is; this avoids a mask as large as the weights. float64: the sum
    # of finite float32 values cannot overflow.
    if not np.isfinite(array.sum(dtype=np.float64)):
        raise ValueError(f"tensor '{name}' has values that are not finite in {array.dtype}")


def _frozen_image(array: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    if array.dtype != np.float32 or array.ndim != 3:
        actual = f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"tensor '{MEAN_IMAGE}' is {actual}; it must be float32 (channels, rows, columns)")
    _check_finite(MEAN_IMAGE, array)
    image: NDArray[np.float32] = array.astype(np.float32, copy=False)
    image.setflags(write=False)
    return image
