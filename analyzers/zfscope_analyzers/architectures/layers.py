"""Layers 1 and 2 of a network, and the lattices of pixels on which their units lie."""

from collections.abc import Iterator
from dataclasses import dataclass

from zfscope.errors import InputError
from zfscope.networks.layer import Layer
from zfscope.networks.lookup import list_layers
from zfscope.networks.receptive import receptive_fields
from zfscope.networks.spec import INPUT, NetworkSpec


@dataclass(frozen=True)
class Lattice:
    """Lattice of a layer's units: `period` pixels apart; those of earlier layers at most `finer` apart."""

    layer: str
    period: int
    finer: int


@dataclass(frozen=True)
class FirstLayers:
    """Layer 1, a convolution of the image, and layer 2, the next convolution after it.

    lattices: one for each layer up to layer 2 whose lattice is coarser than that of the layer before, in
    network order.
    """

    first: Layer
    second: Layer
    lattices: tuple[Lattice, ...]

    @property
    def stride(self) -> int:
        """Distance in pixels between neighbouring units of layer 1."""
        assert self.first.window is not None  # a convolution has a window
        return max(self.first.window.stride)


def first_layers(spec: NetworkSpec) -> FirstLayers:
    """Return layers 1 and 2 of a network. Raises InputError for a network without two such layers."""
    convolutions = [spec.layer(name) for name in spec.convolutions]
    second = next((layer for layer in convolutions if not _reads_image(spec, layer)), None)
    path = [] if second is None else list(_path_to_image(spec, second))
    below = [layer for layer in path[1:] if layer in convolutions]
    if second is None or not below or not _reads_image(spec, below[0]):
        names = list_layers(spec, spec.convolutions) or "none"
        raise InputError(
            f"network '{spec.name}' has no convolution of the image followed by another convolution, which a "
            f"comparison of architectures needs; its convolutions: {names}",
            field="models",
        )
    return FirstLayers(below[0], second, lattices(spec, second))


def lattices(spec: NetworkSpec, layer: Layer) -> tuple[Lattice, ...]:
    """Return the lattices of the layers up to a layer, see `FirstLayers`."""
    fields, finer, result = receptive_fields(spec), 1, []
    for below in reversed(list(_path_to_image(spec, layer))):
        period = fields[below.name].jump
        if period > finer:
            result.append(Lattice(below.name, period, finer))
            finer = period
    return tuple(result)


def _reads_image(spec: NetworkSpec, layer: Layer) -> bool:
    return spec.sources[layer.name] == (INPUT,)


def _path_to_image(spec: NetworkSpec, layer: Layer) -> Iterator[Layer]:
    """Walk from a layer down to the image, along the first input of layers that have several."""
    known, sources, name = spec.by_name, spec.sources, layer.name
    while name != INPUT:
        yield known[name]
        name = sources[name][0]
