"""What a scan asks of a forward pass: of every map its strongest unit, and no activations beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Reduced:
    """The strongest unit of each map of a layer, for N images.

    values: float32 (N, maps), its activation. places: int64 (N, maps), y * columns + x, of equal ones the
    first in reading order; 0 in a fully connected layer, whose units are maps of one place. sums: float32
    (N, maps), the activations of the whole map added up, where they were asked for.
    """

    values: NDArray[np.float32]
    places: NDArray[np.int64]
    sums: NDArray[np.float32] | None = None


def reduced(outputs: NDArray[np.float32], *, sums: bool) -> Reduced:
    """Reduce what a layer gives: (N, maps, rows, columns), or (N, units)."""
    flat = np.ascontiguousarray(outputs).reshape(*outputs.shape[:2], -1)
    places: NDArray[np.int64] = flat.argmax(2)  # of equal ones the first
    values = np.take_along_axis(flat, places[..., None], 2)[..., 0]
    return Reduced(values, places, flat.sum(2) if sums else None)


def kinds(*, sums: bool) -> tuple[str, ...]:
    """Name the parts of what is found in a layer of maps: as arrays they are `conv1/value` and so on."""
    return ("value", "place", "sum") if sums else ("value", "place")


def to_arrays(layer: str, found: Reduced) -> dict[str, NDArray[Any]]:
    """Give what was found in a layer as arrays by name."""
    parts = zip(kinds(sums=True), (found.values, found.places, found.sums), strict=True)
    return {f"{layer}/{kind}": array for kind, array in parts if array is not None}


def from_arrays(layer: str, arrays: Mapping[str, NDArray[Any]]) -> Reduced:
    """Read what was found in a layer; a fully connected one may have no places, each unit is a map of one."""
    value, place, total = (arrays.get(f"{layer}/{kind}") for kind in kinds(sums=True))
    assert value is not None, "every layer has values"
    if place is None:
        return Reduced(value, np.zeros(value.shape, np.int64), value)
    return Reduced(value, place, total)


def title(name: str, device: str) -> str:
    """Say who reduces and, unless that is the CPU, on what."""
    return name if device == "cpu" else f"{name} on {device}"


class Reducing(Protocol):
    """Who runs forward passes for a scan, made for some layers of one model. Many threads may call it."""

    @property
    def name(self) -> str:
        """Who it is, as an index tells: `onnx`, `torch`, `torchserve`; with a device `onnx on cuda`."""
        ...

    def reduce(self, images: NDArray[np.float32]) -> Mapping[str, Reduced]:
        """Give what each of the layers makes of images: float32 (N, 3, H, W), normalised; by layer name.

        Layers are read as they are: a convolution before its ReLU, so that values may be negative.
        Raises InputError for images of another type or size than the model's.
        """
        ...
