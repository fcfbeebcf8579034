"""The interface of runtimes: from preprocessed images to class scores, layer outputs or map maxima."""

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
    float32 (N, maps), the sum of each map's activations; None unless requested.
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
        """Name of the runtime, with a device other than the CPU, as indexes record it: `onnx on cuda`."""
        ...

    @property
    def precision(self) -> str:
        """Precision of its passes: `float32`, or `bfloat16` (torch)."""
        ...

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return class scores (logits), (N, classes), of preprocessed images, float32 (N, C, H, W).

        Raises InputError if the type or size of the images does not match the network.
        """
        ...

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the outputs of layers by name: (N, maps, rows, columns), or (N, units).

        Raises NotFound for an unknown layer, and InputError like `forward`.
        """
        ...

    def map_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str], *, sums: bool = False
    ) -> Mapping[str, MapMaxima]:
        """Return the strongest unit of each map by layer, without transferring whole activations.

        Convolutions are read before their ReLU: values may be negative. sums: whether to return the sums of
        the maps too. Raises NotFound and InputError like `outputs`.
        """
        ...

    def cell_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the maxima of each map in 3 x 3 cells by layer, see `cells.cell_window`.

        (N, maps, 3, 3), fewer cells in maps of less than 3 pixels; (N, units) of fully connected layers.
        Raises NotFound and InputError like `outputs`.
        """
        ...

    def check(self) -> None:
        """Raise RuntimeUnavailable if the runtime is unavailable. Runs no forward pass."""
        ...


def runtime_title(name: str, device: str) -> str:
    """Return the `title` of a runtime."""
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
    """Return the full names of the distinct layers. Raises the exceptions of `Runtime.outputs`."""
    check_images(images, spec)
    return tuple(dict.fromkeys(spec.layer(layer, field=field).name for layer in layers))


def compute_maxima(outputs: NDArray[np.float32], *, sums: bool) -> MapMaxima:
    """Compute the maxima of a layer's outputs, (N, maps, rows, columns) or (N, units)."""
    flat = np.ascontiguousarray(outputs).reshape(*outputs.shape[:2], -1)
    indices: NDArray[np.int64] = flat.argmax(2)  # the first on ties
    values = np.take_along_axis(flat, indices[..., None], 2)[..., 0]
    return MapMaxima(values, indices, flat.sum(2) if sums else None)


def part_names(*, sums: bool) -> tuple[str, ...]:
    """Return the names of the arrays of a layer's maxima, without the layer: `value` for `conv1/value`."""
    return ("value", "place", "sum") if sums else ("value", "place")


def to_arrays(layer: str, maxima: MapMaxima) -> dict[str, NDArray[Any]]:
    """Convert the maxima of a layer to arrays by name, such as `conv1/value`."""
    parts = zip(part_names(sums=True), (maxima.values, maxima.indices, maxima.sums), strict=True)
    return {f"{layer}/{part}": array for part, array in parts if array is not None}


def from_arrays(layer: str, arrays: Mapping[str, NDArray[Any]], *, sums: bool) -> MapMaxima:
    """Convert arrays by name, as of `to_arrays`, to the maxima of a layer.

    Fully connected layers may have values only: the index of a map of 1 x 1 is 0, and its sum is its value.
    """
    values, indices, totals = (arrays.get(f"{layer}/{part}") for part in part_names(sums=True))
    assert values is not None, "every layer has values"
    if indices is None:
        return MapMaxima(values, np.zeros(values.shape, np.int64), values if sums else None)
    return MapMaxima(values, indices, totals)
