"""Occluded polygons: the pixels of the network's input whose centres they contain."""

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.preprocess import Prepared
from zfscope_analyzers.occlude.windows import OcclusionWindow, bounding_window, seen_part
from zfscope_analyzers.params import PhotoPolygon


def window_from_polygon(polygon: PhotoPolygon, prepared: Prepared, field: str) -> OcclusionWindow:
    """Return the bounding window of a polygon of the photo within the first crop.

    Raises InputError, naming `field`, for a polygon that contains the centre of no pixel of the crop.
    """
    geometry = prepared.geometries[0]
    vertices = np.array([geometry.point_to_network(vertex.x, vertex.y) for vertex in polygon.vertices])
    window = bounding_window(pixels_inside(vertices, geometry.network_size))
    if window is None:
        raise InputError(
            f"{field} has no pixel within {seen_part(geometry)}; it occludes pixels of the network's input "
            "whose centre is inside",
            field=field,
        )
    return window


def pixels_inside(vertices: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of an image of `size` whose centre is inside a polygon or on its outline.

    vertices: (n, 2), x and y. A centre is inside if a ray from it crosses the outline an odd number of times
    (the even-odd rule): where a polygon overlaps itself twice, it is open.
    """
    from skimage.measure import points_in_poly  # takes a tenth of a second, for calls with polygons only

    inside = np.zeros(size, bool)
    limits = np.array([size[1], size[0]])
    first = np.clip(np.floor(vertices.min(axis=0)), 0, limits).astype(int)
    last = np.clip(np.ceil(vertices.max(axis=0)), 0, limits).astype(int)
    y, x = np.mgrid[first[1] : last[1], first[0] : last[0]]
    centres = np.stack([x.ravel(), y.ravel()], axis=1) + 0.5
    inside[y, x] = points_in_poly(centres, vertices).reshape(y.shape)  # type: ignore[no-untyped-call]
    return inside
