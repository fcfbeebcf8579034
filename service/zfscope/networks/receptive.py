"""Receptive fields of units, derived from the windows of layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from zfscope.networks.layers import Layer, Shape
from zfscope.networks.spec import INPUT, NetworkSpec, shapes


@dataclass(frozen=True)
class ReceptiveField:
    """Receptive fields of a layer's units: squares of pixels, which may extend beyond the image.

    size: side in pixels. jump: distance between the fields of adjacent units, in pixels; 0 if all units have
    the same field. top, left: first row and column of the field of unit (0, 0); negative in padding.
    """

    size: int
    jump: int
    top: int
    left: int

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Return (left, top, right, bottom) of the field of unit (y, x) in pixels, half-open, not clipped."""
        left, top = self.left + self.jump * x, self.top + self.jump * y
        return left, top, left + self.size, top + self.size


@lru_cache(maxsize=64)
def receptive_fields(spec: NetworkSpec) -> Mapping[str, ReceptiveField]:
    """Return the receptive field of each layer: after a join, the bounding box of its branches' fields.

    Raises ValueError where branches of different jumps meet.
    """
    known_shapes = shapes(spec)
    fields = {INPUT: ReceptiveField(size=1, jump=1, top=0, left=0)}
    for layer, sources in zip(spec.layers, spec.sources.values(), strict=True):
        below = _bounding_field([fields[name] for name in sources], layer)
        fields[layer.name] = _field_above(below, layer, known_shapes[sources[0]], known_shapes[layer.name])
    return fields


def _field_above(below: ReceptiveField, layer: Layer, source: Shape, shape: Shape) -> ReceptiveField:
    window = layer.window
    if window:
        return ReceptiveField(
            size=below.size + (window.kernel - 1) * below.jump,
            jump=below.jump * window.stride,
            top=below.top - window.padding.top * below.jump,
            left=below.left - window.padding.left * below.jump,
        )
    if len(source) > len(shape):  # a flatten layer: its units depend on all positions
        return ReceptiveField(
            size=below.size + (max(source[1:]) - 1) * below.jump, jump=0, top=below.top, left=below.left
        )
    return below


def _bounding_field(fields: Sequence[ReceptiveField], layer: Layer) -> ReceptiveField:
    jumps = {field.jump for field in fields}
    if len(jumps) > 1:
        raise ValueError(
            f"layer '{layer.name}' joins branches with jumps {sorted(jumps)}; they must be equal"
        )
    top, left = min(field.top for field in fields), min(field.left for field in fields)
    bottom = max(field.top + field.size for field in fields)
    right = max(field.left + field.size for field in fields)
    return ReceptiveField(max(bottom - top, right - left), jumps.pop(), top, left)
