"""The interface of runtimes: preprocessed images in; class scores, layer outputs or map maxima out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.networks.spec import NetworkSpec


@dataclass(frozen=True, eq=False)
class MapMaxima:
    """The strongest unit of each map of a layer, for N images.

    values: float32 (N, maps), its activation. indices: int64 (N, maps), its index y * columns + x, the first
    in row-major order on ties; 0 in a fully connected layer, whose units count as maps of 1 x 1. sums:
    float32 (N, maps), the sum of the map's activations, if requested.
    """

    values: NDArray[np.float32]
    indices: NDArray[np.int64]
    sums: NDArray[np.float32] | None = None


class Runtime(Protocol):
    """Runs the forward passes of one model. Thread-safe.

    Every method raises RuntimeUnavailable if the underlying process or device is unavailable.
    """

    @property
    def name(self) -> str:
        """Name of the runtime in options: `onnx`, `torch` or `torchserve`."""
        ...

    @property
    def title(self) -> str:
        """Name of the runtime, with the device unless it is the CPU, as in indexes: `onnx on cuda`."""
        ...

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return class scores (logits), (N, classes), of preprocessed images, float32 (N, 3, H, W).

        Raises InputError for images of another type or size than the model requires.
        """
        ...

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return outputs of layers by name: (N, maps, rows, columns), or (N, units).

        Raises NotFound for an unknown layer, InputError as `forward`.
        """
        ...

    def map_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str], *, sums: bool = False
    ) -> Mapping[str, MapMaxima]:
        """Return the strongest unit of each map by layer, without transferring whole activations.

        Convolutions are read before their ReLU, so that values may be negative. sums: also return the sums of
        maps. Raises NotFound and InputError as `outputs`.
        """
        ...

    def check(self) -> None:
        """Raise RuntimeUnavailable if the runtime is known to be unavailable; runs no pass."""
        ...


def runtime_title(name: str, device: str) -> str:
    """Return the title of a runtime; see `Runtime`."""
    return name if device == "cpu" else f"{name} on {device}"


def check_images(images: NDArray[np.float32], spec: NetworkSpec) -> None:
    """Raise InputError unless images match the network's input: float32 (N, channels, size, size), N > 0."""
    expected = (spec.input_channels, spec.input_size, spec.input_size)
    if images.dtype != np.float32:
        message = f"images of type {images.dtype}; network '{spec.name}' requires float32"
        raise InputError(message, field="images")
    if images.ndim != 4 or images.shape[1:] != expected or not len(images):
        channels, rows, columns = expected
        raise InputError(
            f"images of shape {images.shape}; network '{spec.name}' requires "
            f"(N, {channels}, {rows}, {columns}), N at least 1",
            field="images",
        )


def check_call(
    images: NDArray[np.float32], spec: NetworkSpec, layers: Sequence[str], *, field: str = "layers"
) -> tuple[str, ...]:
    """Return the distinct layer names. Raises InputError and NotFound like `Runtime.outputs`."""
    check_images(images, spec)
    for layer in layers:
        spec.layer(layer, field=field)
    return tuple(dict.fromkeys(layers))


def compute_maxima(outputs: NDArray[np.float32], *, sums: bool) -> MapMaxima:
    """Return the maxima of a layer's outputs, (N, maps, rows, columns) or (N, units)."""
    flat = np.ascontiguousarray(outputs).reshape(*outputs.shape[:2], -1)
    indices: NDArray[np.int64] = flat.argmax(2)  # the first on ties
    values = np.take_along_axis(flat, indices[..., None], 2)[..., 0]
    return MapMaxima(values, indices, flat.sum(2) if sums else None)


def part_names(*, sums: bool) -> tuple[str, ...]:
    """Return the names of the parts of a layer's maxima, as in `conv1/value`."""
    return ("value", "place", "sum") if sums else ("value", "place")


def to_arrays(layer: str, maxima: MapMaxima) -> dict[str, NDArray[Any]]:
    """Return the maxima of a layer as arrays by name."""
    parts = zip(part_names(sums=True), (maxima.values, maxima.indices, maxima.sums), strict=True)
    return {f"{layer}/{kind}": array for kind, array in parts if array is not None}


def from_arrays(layer: str, arrays: Mapping[str, NDArray[Any]]) -> MapMaxima:
    """Return the maxima of a layer from arrays; a fully connected layer may have values only."""
    value, place, total = (arrays.get(f"{layer}/{kind}") for kind in part_names(sums=True))
    assert value is not None, "every layer has values"
    if place is None:
        return MapMaxima(value, np.zeros(value.shape, np.int64), value)
    return MapMaxima(value, place, total)
