"""New class scores for a network that was trained on other classes."""

from collections import Counter
from dataclasses import dataclass

from zfscope.networks.layer import Layer
from zfscope.networks.layers import AvgPool, Conv, Flatten, Linear, SelectMaps
from zfscope.networks.spec import INPUT, NetworkSpec, shapes


@dataclass(frozen=True)
class NewHead:
    """A network with new class scores. new_layers: layers whose weights the old network does not have."""

    spec: NetworkSpec
    new_layers: frozenset[str]


def replace_head(spec: NetworkSpec, classes: int) -> NewHead:
    """Return the network with scores for this number of classes.

    The layer that computes the scores keeps its name and gets a unit or map per class: the last fully
    connected layer, or the last convolution if the scores are the means of its maps. If there is no such
    layer, because the network ends in feature maps or in a sum, say, a fully connected layer is added.
    """
    tail = layers_of_scores(spec)
    if not tail:
        return _with_added_head(spec, classes)
    width = "units" if isinstance(tail[0], Linear) else "channels"
    replaced = tail[0].model_copy(update={width: classes})
    layers = tuple(replaced if layer.name == replaced.name else layer for layer in spec.layers)
    return NewHead(
        spec.model_copy(update={"layers": layers}),
        frozenset(_with_weights(spec, [layer.name for layer in tail])),
    )


def layers_of_scores(spec: NetworkSpec) -> list[Layer]:
    """Return the layers from the one that computes the class scores to the last; empty without one.

    In an opaque network, it is the last.
    """
    if spec.is_opaque:
        return [spec.by_name[spec.scores]]
    known, readers, tail = shapes(spec), _reader_counts(spec), list[Layer]()
    name = spec.scores
    while name != INPUT and readers[name] <= 1:
        layer = spec.by_name[name]
        tail.insert(0, layer)
        if isinstance(layer, (Conv, Linear)):
            width = known[name][0]
            grouped = isinstance(layer, Conv) and layer.groups > 1
            return tail if known[spec.scores] == (width,) and not grouped else []
        if layer.joins or isinstance(layer, SelectMaps):
            return []
        (name,) = spec.sources[name]
    return []


def _reader_counts(spec: NetworkSpec) -> Counter[str]:
    return Counter(name for names in spec.sources.values() for name in names)


def _with_added_head(spec: NetworkSpec, classes: int) -> NewHead:
    """Return the network with a fully connected layer on top, after pooling if it ends in feature maps."""
    shape, added = shapes(spec)[spec.scores], list[Layer]()
    if len(shape) == 3:
        rows, columns = shape[1:]
        added += [
            AvgPool(name=_unused("pool", spec), kernel=(rows, columns)),
            Flatten(name=_unused("flatten", spec)),
        ]
    scores = Linear(name=_unused("scores", spec), units=classes)
    layers = (*spec.layers, *added, scores)
    return NewHead(spec.model_copy(update={"layers": layers}), frozenset({scores.name}))


def _unused(name: str, spec: NetworkSpec) -> str:
    while name in spec.by_name:
        name = f"new_{name}"
    return name


def _with_weights(spec: NetworkSpec, names: list[str]) -> list[str]:
    known, sources = shapes(spec), spec.sources
    return [name for name in names if spec.layer(name).parameters(known[sources[name][0]])]
