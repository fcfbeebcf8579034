"""Conversion of polygons to parameters of a request."""

from collections.abc import Sequence
from typing import Any

from zfscope.errors import InputError

# A polygon of a photo: at least three vertices, each (x, y) in photo pixels; also an array of shape (n, 2).
Polygon = Sequence[tuple[float, float]]


def polygons_to_wire(polygons: Sequence[Polygon]) -> list[dict[str, Any]]:
    """Return the values of the messages of polygons. Raises InputError, naming the invalid one."""
    if not hasattr(polygons, "__iter__"):
        raise InputError(f"polygons is {polygons!r:.80}; pass a list of polygons", field="polygons")
    return [{"vertices": _vertices(polygon, f"polygons[{index}]")} for index, polygon in enumerate(polygons)]


def _vertices(polygon: Polygon, field: str) -> list[dict[str, float]]:
    try:
        return [{"x": float(x), "y": float(y)} for x, y in polygon]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{field} is {polygon!r:.80}; a polygon is a list of vertices, each (x, y) in photo pixels",
            field=field,
        ) from error
