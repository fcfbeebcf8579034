"""Receptive fields of units, derived from the windows of layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap
from typing import NamedTuple

from zfscope.networks.layer import Layer, Shape
from zfscope.networks.spec import INPUT, NetworkSpec, shapes
from zfscope.networks.windows import Window


class Span(NamedTuple):
    """Receptive fields along one axis, in pixels.

    size: extent of a field. jump: distance between the fields of adjacent units; 0 if all units have the same
    field. start: first pixel of the field of the first unit; negative in padding.
    """

    size: int
    jump: int
    start: int

    def interval(self, index: int) -> tuple[int, int]:
        """Return the first pixel of a unit's field, and one past the last."""
        first = self.start + self.jump * index
        return first, first + self.size

    @property
    def centre(self) -> float:
        """Centre of the field of the first unit; that of unit i is `jump` times i further."""
        return self.start + self.size / 2


@dataclass(frozen=True)
class ReceptiveField:
    """Receptive fields of a layer's units: rectangles of pixels, which may extend beyond the image."""

    rows: Span
    columns: Span

    @property
    def size(self) -> int:
        """Longer side of a field in pixels."""
        return max(self.rows.size, self.columns.size)

    @property
    def top(self) -> int:
        """First row of the field of unit (0, 0); negative in padding."""
        return self.rows.start

    @property
    def left(self) -> int:
        """First column of the field of unit (0, 0); negative in padding."""
        return self.columns.start

    @property
    def jump(self) -> int:
        """Distance between the fields of adjacent units in pixels; 0 if all units have the same field."""
        return max(self.rows.jump, self.columns.jump)

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Return (left, top, right, bottom) of the field of unit (y, x) in pixels, half-open, not clipped."""
        (top, bottom), (left, right) = self.rows.interval(y), self.columns.interval(x)
        return left, top, right, bottom


@lru_cache(maxsize=64)
def receptive_fields(spec: NetworkSpec) -> Mapping[str, ReceptiveField]:
    """Return the receptive field of each layer: after a join, the bounding box of its branches' fields.

    A unit of an opaque network, whose windows are unknown, counts as seeing the whole image; units are evenly
    spaced. Raises ValueError where branches of different jumps meet.
    """
    known_shapes = shapes(spec)
    fields = {INPUT: ReceptiveField(Span(1, 1, 0), Span(1, 1, 0))}
    if spec.is_opaque:
        grids = {layer.name: known_shapes[layer.name][1:] or (1, 1) for layer in spec.layers}
        rows_columns = ((_whole(spec.input_size, count) for count in grid) for grid in grids.values())
        return fields | dict(zip(grids, starmap(ReceptiveField, rows_columns), strict=True))
    for layer, sources in zip(spec.layers, spec.sources.values(), strict=True):
        below = [fields[name] for name in sources]
        sizes = [known_shapes[name][1:] for name in sources]
        shape = known_shapes[layer.name]
        rows, columns = (
            _span_above(layer, axis, [(field.rows, field.columns)[axis] for field in below], sizes, shape)
            for axis in (0, 1)
        )
        fields[layer.name] = ReceptiveField(rows, columns)
    return fields


def _whole(size: int, count: int) -> Span:
    """Return fields that contain the whole image, with evenly spaced centres. size: side of the image."""
    if count == 1:
        return Span(size, 0, 0)
    jump = max(1, size // count)
    first_centre = (size - jump * (count - 1)) // 2
    return Span(2 * size, jump, first_centre - size)


def _span_above(layer: Layer, axis: int, below: Sequence[Span], sizes: Sequence[Shape], shape: Shape) -> Span:
    """Return the fields of a layer along an axis. sizes: rows and columns of each input, () for units."""
    if layer.window:
        return _window_above(layer.window, axis, below[0])
    extents = [size[axis] if size else 1 for size in sizes]
    # Inputs of size 1 are repeated, and after a product with one of them (squeeze-and-excitation) all units
    # have the same field. Single units have no distance that has to be equal.
    joins_single_units = len(below) > 1 and max(extents) == 1
    is_repeated = len(set(extents)) > 1 or not all(span.jump for span in below)
    # Each unit of a vector depends on all positions.
    if len(shape) == 1 or joins_single_units or is_repeated:
        return _union([_cover(span, extent) for span, extent in zip(below, extents, strict=True)])
    return _join(layer, below)


def _window_above(window: Window, axis: int, below: Span) -> Span:
    before = (window.padding.top, window.padding.left)[axis]
    return Span(
        size=below.size + (window.reach[axis] - 1) * below.jump,
        jump=below.jump * window.stride[axis],
        start=below.start - before * below.jump,
    )


def _cover(span: Span, extent: int) -> Span:
    """Return the range that the fields of all units along an axis cover, as the field of a single unit."""
    return Span(span.size + (extent - 1) * span.jump, 0, span.start)


def _join(layer: Layer, below: Sequence[Span]) -> Span:
    jumps = {span.jump for span in below}
    if len(jumps) > 1:
        raise ValueError(
            f"layer '{layer.name}' joins branches with jumps {sorted(jumps)}; they must be equal"
        )
    return _union(below)


def _union(spans: Sequence[Span]) -> Span:
    start = min(span.start for span in spans)
    return Span(max(span.start + span.size for span in spans) - start, spans[0].jump, start)
