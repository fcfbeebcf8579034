"""Which layers of a network are layers 1 and 2, and on what grids of pixels what they say lies."""

from collections.abc import Iterator
from dataclasses import dataclass

from zfscope.errors import InputError
from zfscope.networks.receptive import receptive_fields
from zfscope.networks.spec import INPUT, Conv, Layer, NetworkSpec


@dataclass(frozen=True)
class Lattice:
    """Units of a layer lie `period` pixels apart, those of the layers before it `within` at most."""

    layer: str
    period: int
    within: int


@dataclass(frozen=True)
class FirstLayers:
    """Layer 1 reads the image, layer 2 is the first convolution that reads what comes of that.

    lattices: of the layers up to layer 2 that lie on a coarser one than the layer before, in their order.
    """

    first: Conv
    second: Conv
    lattices: tuple[Lattice, ...]


def first_layers(spec: NetworkSpec) -> FirstLayers:
    """Find them. Raises InputError for a network without two such layers."""
    second = next((layer for layer in _convolutions(spec) if not _reads_image(spec, layer)), None)
    path = [] if second is None else list(_down(spec, second))
    below = [layer for layer in path[1:] if isinstance(layer, Conv)]
    if second is None or not below or not _reads_image(spec, below[0]):
        names = ", ".join(layer.name for layer in _convolutions(spec)) or "none"
        raise InputError(
            f"network '{spec.name}' has no convolution of the image with another one after it, which is what "
            f"architectures are compared by; its convolutions: {names}",
            field="models",
        )
    return FirstLayers(below[0], second, _lattices(spec, path[::-1]))


def _convolutions(spec: NetworkSpec) -> list[Conv]:
    return [layer for layer in spec.layers if isinstance(layer, Conv)]


def _reads_image(spec: NetworkSpec, layer: Layer) -> bool:
    return spec.sources[layer.name] == (INPUT,)


def _down(spec: NetworkSpec, layer: Layer) -> Iterator[Layer]:
    """Walk from a layer to the image, by the first input where several meet."""
    known, sources, name = spec.by_name, spec.sources, layer.name
    while name != INPUT:
        yield known[name]
        name = sources[name][0]


def _lattices(spec: NetworkSpec, path: list[Layer]) -> tuple[Lattice, ...]:
    fields, within, found = receptive_fields(spec), 1, []
    for layer in path:
        period = fields[layer.name].jump
        if period > within:
            found.append(Lattice(layer.name, period, within))
            within = period
    return tuple(found)
