"""What a scan asks of a forward pass: of every map its strongest unit, and no activations beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

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
