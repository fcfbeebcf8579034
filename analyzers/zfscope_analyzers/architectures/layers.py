"""Which layers of a network are layers 1 and 2, and on what grids of pixels what they say lies."""

from collections.abc import Iterator
from dataclasses import dataclass

from zfscope.errors import InputError
from zfscope.networks.layers import Layer
from zfscope.networks.receptive import receptive_fields
from zfscope.networks.spec import INPUT, NetworkSpec


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

    first: Layer
    second: Layer
    lattices: tuple[Lattice, ...]

    @property
    def stride(self) -> int:
        """Pixels between neighbouring units of layer 1."""
        assert self.first.window is not None  # it is a convolution
        return self.first.window.stride


def first_layers(spec: NetworkSpec) -> FirstLayers:
    """Find them. Raises InputError for a network without two such layers."""
    convolutions = [spec.layer(name) for name in spec.convolutions]
    second = next((layer for layer in convolutions if not _reads_image(spec, layer)), None)
    path = [] if second is None else list(_down(spec, second))
    below = [layer for layer in path[1:] if layer in convolutions]
    if second is None or not below or not _reads_image(spec, below[0]):
        names = ", ".join(spec.convolutions) or "none"
        raise InputError(
            f"network '{spec.name}' has no convolution of the image with another one after it, which is what "
            f"architectures are compared by; its convolutions: {names}",
            field="models",
        )
    return FirstLayers(below[0], second, _lattices(spec, path[::-1]))


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
