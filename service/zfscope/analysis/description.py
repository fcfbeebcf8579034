"""A network described layer by layer, from its spec alone."""

from dataclasses import dataclass
from math import prod

from zfscope.engine.receptive import receptive_fields
from zfscope.networks.shapes import Shape, shapes, weight_shape
from zfscope.networks.spec import Conv, Layer, Linear, NetworkSpec


@dataclass(frozen=True)
class LayerDescription:
    """A layer: its output's shape, (maps, rows, columns) or (units,), and what its units see.

    stride: pixels of the input between the fields of neighbouring units. receptive_field: side of a
    unit's field in pixels. Both are None where every unit sees the whole input.
    """

    name: str
    kind: str
    shape: Shape
    parameters: int
    stride: int | None
    receptive_field: int | None


def describe(spec: NetworkSpec) -> tuple[LayerDescription, ...]:
    """Describe every layer of a network in the order of evaluation."""
    known, fields, sources = shapes(spec), receptive_fields(spec), spec.sources
    described = []
    for layer in spec.layers:
        shape, field = known[layer.name], fields[layer.name]
        parameters = _parameters(layer, known[sources[layer.name][0]])
        place = (field.jump, field.size) if len(shape) == 3 else (None, None)
        described.append(LayerDescription(layer.name, layer.kind, shape, parameters, *place))
    return tuple(described)


def _parameters(layer: Layer, source: Shape) -> int:
    if not isinstance(layer, Conv | Linear):
        return 0
    weights = weight_shape(layer, source)
    return prod(weights) + weights[0]
