"""The part of every feature map that a place or a box of the photo means."""

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.geometry import Box, Geometry
from zfscope.networks.receptive import Span, receptive_fields
from zfscope.networks.spec import shapes
from zfscope.store import Model
from zfscope_analyzers.activations.params import ActivationsParams


def region_of(model: Model, geometry: Geometry, params: ActivationsParams) -> Box | None:
    """Return the units that count as a box of rows and columns of the layer's maps; None for all units.

    A unit is where its receptive field has its centre. The nearest unit stands for a place, and for a box
    that is smaller than the distance of two units. Raises InputError for a place or box outside of the part
    of the photo that the network sees, and for one in a fully connected layer.
    """
    if params.area is None:
        return None
    field = "box" if params.box else "y"
    shape = shapes(model.spec)[params.layer]
    if len(shape) == 1:
        raise InputError(
            f"{field} is set, but layer '{params.layer}' is fully connected: each of its units sees the "
            f"whole photo; leave out {'box' if params.box else 'y and x'}",
            field=field,
        )
    _check_inside(params, params.area, geometry.region)
    area = geometry.to_network(params.area).clip(geometry.network_size)
    fields, (height, width) = receptive_fields(model.spec)[params.layer], geometry.network_size
    top, bottom = _interval(fields.rows, shape[1], height, area.y0, area.y1)
    left, right = _interval(fields.columns, shape[2], width, area.x0, area.x1)
    return Box(left, top, right, bottom)


def unit_centres(span: Span, count: int, side_px: int) -> NDArray[np.float64]:
    """Return where units are along an axis, in pixels of the network's input: the centres of their fields.

    count: number of units. side_px: side of the input; centres in the padding around it count as on its edge.
    Units that all have the same field, as after squeeze-and-excitation, are evenly spaced over the input.
    """
    index = np.arange(count)
    if span.jump == 0:
        return (index + 0.5) * side_px / count
    return np.clip(span.centre + span.jump * index, 0, side_px)


def _interval(span: Span, count: int, side_px: int, first: float, last: float) -> tuple[int, int]:
    """Return the half-open range of units with centres between two pixels, or that of the nearest unit."""
    centres = unit_centres(span, count, side_px)
    # An area that reaches the edge of the input includes centres on that edge.
    inside = np.flatnonzero((centres >= first) & ((centres < last) | (last == side_px)))
    if last > first and inside.size:
        return int(inside[0]), int(inside[-1]) + 1
    nearest = int(np.abs(centres - (first + last) / 2).argmin())
    return nearest, nearest + 1


def _check_inside(params: ActivationsParams, area: Box, seen: Box) -> None:
    """Raise InputError for a place or a box outside of the part of the photo that the network sees."""
    what = "outside of the part of the photo that the network sees"
    if params.box:
        if max(area.x0, seen.x0) < min(area.x1, seen.x1) and max(area.y0, seen.y0) < min(area.y1, seen.y1):
            return
        allowed = f"({seen.x0:g}, {seen.y0:g}, {seen.x1:g}, {seen.y1:g})"
        corners = f"({area.x0:g}, {area.y0:g}, {area.x1:g}, {area.y1:g})"
        raise InputError(f"box is {corners}, {what}, {allowed}", field="box")
    for field, value, low, high in (("y", area.y0, seen.y0, seen.y1), ("x", area.x0, seen.x0, seen.x1)):
        if not low <= value <= high:
            raise InputError(f"{field} is {value:g}, {what}; allowed: {low:g} to {high:g}", field=field)
