"""What a forward runtime is: prepared images in; class scores, layer outputs or the maxima of maps out."""

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

    values: float32 (N, maps), its activation. places: int64 (N, maps), its index y * columns + x, the first
    in reading order where several are equal; 0 in a fully connected layer, whose units are maps of 1 x 1.
    sums: float32 (N, maps), the sum of all activations of the map, where it was asked for.
    """

    values: NDArray[np.float32]
    places: NDArray[np.int64]
    sums: NDArray[np.float32] | None = None


class Runtime(Protocol):
    """A runtime of one model's forward passes. Many threads may call it at once.

    Every method raises RuntimeUnavailable where the process or device that runs it is not available.
    """

    @property
    def name(self) -> str:
        """The name by which users choose it: `onnx`, `torch`, `torchserve`."""
        ...

    @property
    def title(self) -> str:
        """The name and, unless that is the CPU, the device, as an index states it: `onnx on cuda`."""
        ...

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class scores (logits), (N, classes), of images: float32 (N, 3, H, W), normalised.

        Raises InputError for images of another type or size than the model's.
        """
        ...

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the outputs of layers for images, by name: (N, maps, rows, columns), or (N, units).

        Raises NotFound for an unknown layer, InputError as `forward`.
        """
        ...

    def map_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str], *, sums: bool = False
    ) -> Mapping[str, MapMaxima]:
        """Return the strongest unit of each map of layers, by layer; whole activations do not leave the pass.

        A convolution is read before its ReLU, so that values may be negative. sums: add maps up too.
        Raises NotFound and InputError as `outputs`.
        """
        ...

    def check(self) -> None:
        """Raise RuntimeUnavailable where a pass could not be run now, as far as is known without one."""
        ...


def title_of(name: str, device: str) -> str:
    """Return the title of a runtime; see `Runtime`."""
    return name if device == "cpu" else f"{name} on {device}"


def check_images(images: NDArray[np.float32], spec: NetworkSpec) -> None:
    """Raise InputError unless images are what the network reads: float32 (N, channels, size, size), N > 0."""
    wanted = (spec.input_channels, spec.input_size, spec.input_size)
    if images.dtype != np.float32:
        message = f"images of type {images.dtype}; network '{spec.name}' reads float32"
        raise InputError(message, field="images")
    if images.ndim != 4 or images.shape[1:] != wanted or not len(images):
        channels, rows, columns = wanted
        raise InputError(
            f"images of shape {images.shape}; network '{spec.name}' reads (N, {channels}, {rows}, {columns}) "
            "with N of 1 or more",
            field="images",
        )


def check_call(
    images: NDArray[np.float32], spec: NetworkSpec, layers: Sequence[str], *, field: str = "layers"
) -> tuple[str, ...]:
    """Return the names of layers, each once. Raises InputError and NotFound as `Runtime.outputs` does."""
    check_images(images, spec)
    for layer in layers:
        spec.layer(layer, field=field)
    return tuple(dict.fromkeys(layers))


def maxima_of(outputs: NDArray[np.float32], *, sums: bool) -> MapMaxima:
    """Return the maxima of a layer's outputs: (N, maps, rows, columns), or (N, units)."""
    flat = np.ascontiguousarray(outputs).reshape(*outputs.shape[:2], -1)
    places: NDArray[np.int64] = flat.argmax(2)  # the first of equal ones
    values = np.take_along_axis(flat, places[..., None], 2)[..., 0]
    return MapMaxima(values, places, flat.sum(2) if sums else None)


def kinds(*, sums: bool) -> tuple[str, ...]:
    """Return the parts of a layer's maxima; as arrays they are named `conv1/value` and so on."""
    return ("value", "place", "sum") if sums else ("value", "place")


def to_arrays(layer: str, maxima: MapMaxima) -> dict[str, NDArray[Any]]:
    """Return the maxima of a layer as arrays by name."""
    parts = zip(kinds(sums=True), (maxima.values, maxima.places, maxima.sums), strict=True)
    return {f"{layer}/{kind}": array for kind, array in parts if array is not None}


def from_arrays(layer: str, arrays: Mapping[str, NDArray[Any]]) -> MapMaxima:
    """Read the maxima of a layer; those of a fully connected one may have values alone."""
    value, place, total = (arrays.get(f"{layer}/{kind}") for kind in kinds(sums=True))
    assert value is not None, "every layer has values"
    if place is None:
        return MapMaxima(value, np.zeros(value.shape, np.int64), value)
    return MapMaxima(value, place, total)
