"""Layers that represent a network: those that analyses use by default, and the outputs of its blocks."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from zfscope.networks.head import layers_of_scores
from zfscope.networks.layer import Layer, Shape
from zfscope.networks.spec import INPUT, NetworkSpec, shapes, tensor_shapes


@dataclass(frozen=True)
class DefaultLayers:
    """Layers that analyses use if none is named; in small networks some of them are the same.

    Convolutions whose maps are single pixels, as in squeeze-and-excitation, a convolution that computes the
    class scores, and layers that do not lead to the last layer are left out. A network without convolutions
    is represented by its last layer with maps, and an opaque network by the layers that join branches.

    first_activation, last_activation: the activation function after the first and the last convolution, or
    that convolution if none follows. lower_features: the last layer with maps larger than a pixel, below the
    classifier. upper_features: the input of the last layer with weights above it, or the class scores if
    there is no other layer in between. For a network that ends in maps, lower_features is the activation
    after the middle convolution, and upper_features the last layer.
    """

    first_activation: str
    middle_convolution: str
    last_convolution: str
    last_activation: str
    lower_features: str
    upper_features: str

    @property
    def names(self) -> tuple[str, ...]:
        """The layers without duplicates."""
        return tuple(dict.fromkeys(vars(self).values()))


@lru_cache(maxsize=64)
def default_layers(spec: NetworkSpec) -> DefaultLayers:
    """Derive the default layers of a network."""
    convolutions = _convolutions(spec)
    middle, last = convolutions[len(convolutions) // 2], convolutions[-1]
    lower, upper = _features(spec)
    return DefaultLayers(
        first_activation=_activation_after(spec, convolutions[0]),
        middle_convolution=middle,
        last_convolution=last,
        last_activation=_activation_after(spec, last),
        lower_features=_activation_after(spec, middle) if lower == upper else lower,
        upper_features=upper,
    )


def last_convolution(spec: NetworkSpec, among: Collection[str]) -> str:
    """Return the last convolution among some layers: the network's, if it is one of them.

    Without a convolution among them, return the last one with maps, or else the last one.
    """
    return _candidates(spec, among)[-1]


def middle_convolution(spec: NetworkSpec, among: Collection[str]) -> str:
    """Return the network's middle convolution, or the middle one among some layers that lack it.

    Without a convolution among them, return the middle one with maps, or else the middle one.
    """
    middle, candidates = default_layers(spec).middle_convolution, _candidates(spec, among)
    return middle if middle in candidates else candidates[len(candidates) // 2]


def blocks(spec: NetworkSpec) -> tuple[str, ...]:
    """Return the layers to list first, in order of evaluation.

    These are the default layers, the class scores, the last layer of each size of maps, and the layers that
    join branches; in a network without branches, all convolutions and fully connected layers.
    """
    chosen = {name for tier in _tiers(spec) for name in tier}
    return tuple(layer.name for layer in spec.layers if layer.name in chosen)


def shortlist(spec: NetworkSpec, among: Sequence[str], limit: int) -> tuple[str, ...]:
    """Return up to `limit` of some layers, the blocks that represent the network best, in the given order.

    Without blocks among the layers, return the first ones.
    """
    if len(among) <= limit:
        return tuple(among)
    chosen: dict[str, None] = {}
    for tier in _tiers(spec):
        new = [name for name in tier if name in among and name not in chosen]
        chosen |= dict.fromkeys(_evenly_spaced(new, limit - len(chosen)))
    return tuple(name for name in among if name in chosen) or tuple(among[:limit])


def _evenly_spaced(names: Sequence[str], limit: int) -> Iterator[str]:
    """Return at most `limit` names, evenly spaced; the last one is among them."""
    count = min(limit, len(names))
    return (names[index * len(names) // count - 1] for index in range(1, count + 1))


@lru_cache(maxsize=64)
def _tiers(spec: NetworkSpec) -> tuple[tuple[str, ...], ...]:
    """Return the blocks by importance."""
    outputs = _block_outputs(spec)
    stages = tuple({shapes(spec)[name][1:]: name for name in outputs if _is_spatial(spec, name)}.values())
    joins = tuple(name for name in outputs if _is_merge(spec, spec.by_name[name]))
    first = (*default_layers(spec).names, spec.scores)
    return (first, stages, joins) if joins else (first, _weighted(spec), stages)


def _block_outputs(spec: NetworkSpec) -> list[str]:
    """Return the layers through which all paths from the image to the last layer lead.

    A layer is one of them if no layer after it reads anything computed before it.
    """
    sources, path = spec.sources, _path(spec)
    last_reader = {name: index for index, layer in enumerate(path) for name in sources[layer]}
    outputs, furthest = [], last_reader.get(INPUT, 0)
    for index, name in enumerate(path):
        if furthest <= index:
            outputs.append(name)
        furthest = max(furthest, last_reader.get(name, 0))
    return outputs


def _is_merge(spec: NetworkSpec, layer: Layer) -> bool:
    """Return whether a layer joins branches of equal size, rather than scaling one by a gate."""
    sources, known = spec.sources[layer.name], shapes(spec)
    is_join = len(sources) > 1 and len({known[name][1:] for name in sources}) == 1
    return is_join and not _is_gate(spec, sources)


def _is_gate(spec: NetworkSpec, sources: Sequence[str]) -> bool:
    """Return whether a layer with these inputs applies an activation function to its own input: x * f(x)."""
    known, read = spec.by_name, spec.sources
    return any(
        name in known and known[name].activates and set(sources) == {name, *read[name]} for name in sources
    )


def _activation_after(spec: NetworkSpec, convolution: str) -> str:
    """Return the first activation function after a convolution, or else the convolution.

    Layers in between keep the size of the maps: normalisation, scaling, joins.
    """
    known, sources, reached = shapes(spec), spec.sources, {convolution}
    size, convolutions = known[convolution][1:], set(spec.convolutions)
    after = iter(spec.layers)
    for layer in after:
        if layer.name in convolutions or known[layer.name][1:] != size:
            continue
        if reached.isdisjoint(sources[layer.name]):
            continue
        if layer.activates:
            pair = {layer.name, *sources[layer.name]}
            gates = (each.name for each in after if each.joins and set(sources[each.name]) == pair)
            return next(gates, layer.name)
        reached.add(layer.name)
    return convolution


def _features(spec: NetworkSpec) -> tuple[str, str]:
    """Return the lower and upper features of `DefaultLayers`; the same layer if the network ends in maps."""
    known, sources, path = shapes(spec), spec.sources, _path(spec)
    lower = _last_maps(spec)
    above = path[path.index(lower) + 1 :]
    weighted = {spec.scores} if spec.is_opaque else set(_weighted(spec))
    last = next((name for name in reversed(above) if name in weighted), None)
    upper = spec.scores if last is None else sources[last][0]
    while upper in above and spec.by_name[upper].drop_rate is not None:
        upper = sources[upper][0]
    is_reshaped = upper not in above or prod(known[upper]) == prod(known[lower])
    return lower, spec.scores if above and is_reshaped else upper if above else lower


def _last_maps(spec: NetworkSpec) -> str:
    """Return the last layer with maps, if possible below the classifier, larger than a pixel, no dropout."""
    path = [name for name in _path(spec) if spec.by_name[name].drop_rate is None] or _path(spec)
    spatial = _below_classifier(spec, [name for name in path if _is_spatial(spec, name)])
    return (spatial or [name for name in path if spec.has_maps(name)] or path[:1])[-1]


def _convolutions(spec: NetworkSpec) -> Sequence[str]:
    """Return the convolutions that represent a network, see `DefaultLayers`; at least one layer."""
    path = _path(spec)
    on_path = [name for name in spec.convolutions if name in path]
    spatial = _below_classifier(spec, [name for name in on_path if _is_spatial(spec, name)])
    return spatial or on_path or spec.convolutions or _opaque_blocks(spec) or (_last_maps(spec),)


def _opaque_blocks(spec: NetworkSpec) -> Sequence[str]:
    """Return the layers of an opaque network that join branches and have maps; empty for others."""
    if not spec.is_opaque:
        return ()
    outputs = [name for name in _block_outputs(spec) if _is_spatial(spec, name)]
    return [name for name in outputs if _is_merge(spec, spec.by_name[name])]


def _below_classifier(spec: NetworkSpec, names: list[str]) -> list[str]:
    """Return the layers before the one that computes the class scores, or all if there are none before it."""
    classifier = {layer.name for layer in layers_of_scores(spec)}
    return [name for name in names if name not in classifier] or names


def _candidates(spec: NetworkSpec, among: Collection[str]) -> Sequence[str]:
    """Return the convolutions among some layers, or else those with maps, or else all of them."""
    names = [layer.name for layer in spec.layers if layer.name in among]
    convolutions = [name for name in _convolutions(spec) if name in names]
    others = [name for name in names if name in spec.convolutions]
    return convolutions or others or [name for name in names if spec.has_maps(name)] or names


def _path(spec: NetworkSpec) -> list[str]:
    """Return the layers that lead to the last one."""
    return [layer.name for layer in spec.needed_for([spec.scores])]


def _is_spatial(spec: NetworkSpec, name: str) -> bool:
    """Return whether a layer has maps larger than a pixel."""
    shape: Shape = shapes(spec)[name]
    return len(shape) == 3 and prod(shape[1:]) > 1


def _weighted(spec: NetworkSpec) -> tuple[str, ...]:
    """Return the layers whose weights combine maps or units: convolutions and fully connected layers."""
    weights = tensor_shapes(spec)
    return tuple(layer.name for layer in spec.layers if len(weights.get(f"{layer.name}.weight", ())) > 1)
