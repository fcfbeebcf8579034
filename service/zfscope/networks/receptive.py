"""Receptive fields: which pixels a unit sees, by arithmetic over the layers below it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from zfscope.networks.layers import Layer, Shape
from zfscope.networks.spec import INPUT, NetworkSpec, shapes


@dataclass(frozen=True)
class ReceptiveField:
    """The square of pixels under each unit of a layer; at the edges it may overhang the image.

    size: its side in pixels. jump: pixels between the fields of neighbouring units (0: every unit
    sees the same). top, left: the first row and column that unit (0, 0) sees; negative in padding.
    """

    size: int
    jump: int
    top: int
    left: int

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Give (left, top, right, bottom) of the field of unit (y, x): pixels, half open, not clipped."""
        left, top = self.left + self.jump * x, self.top + self.jump * y
        return left, top, left + self.size, top + self.size


@lru_cache(maxsize=64)
def receptive_fields(spec: NetworkSpec) -> Mapping[str, ReceptiveField]:
    """Give the receptive field of every layer; that of a join is the box around its branches'.

    Raises ValueError where branches of different jumps meet.
    """
    known_shapes = shapes(spec)
    fields = {INPUT: ReceptiveField(size=1, jump=1, top=0, left=0)}
    for layer, sources in zip(spec.layers, spec.sources.values(), strict=True):
        below = _around([fields[name] for name in sources], layer)
        fields[layer.name] = _above(below, layer, known_shapes[sources[0]], known_shapes[layer.name])
    return fields


def _above(below: ReceptiveField, layer: Layer, source: Shape, shape: Shape) -> ReceptiveField:
    window = layer.window
    if window:
        return ReceptiveField(
            size=below.size + (window.kernel - 1) * below.jump,
            jump=below.jump * window.stride,
            top=below.top - window.padding.top * below.jump,
            left=below.left - window.padding.left * below.jump,
        )
    if len(source) > len(shape):  # maps become units, each of which sees all of them
        return ReceptiveField(
            size=below.size + (max(source[1:]) - 1) * below.jump, jump=0, top=below.top, left=below.left
        )
    return below


def _around(fields: Sequence[ReceptiveField], layer: Layer) -> ReceptiveField:
    jumps = {field.jump for field in fields}
    if len(jumps) > 1:
        raise ValueError(
            f"layer '{layer.name}' joins branches with the jumps {sorted(jumps)}; they must agree"
        )
    top, left = min(field.top for field in fields), min(field.left for field in fields)
    bottom = max(field.top + field.size for field in fields)
    right = max(field.left + field.size for field in fields)
    return ReceptiveField(max(bottom - top, right - left), jumps.pop(), top, left)
