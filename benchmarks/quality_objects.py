"""Measures on annotated photos for `benchmarks.quality`: occlusion of objects, correspondence of parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import dist, sqrt
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from rich.progress import track

from zfscope import LocalClient
from zfscope.datasets import DataSet, read_photo
from zfscope.errors import InputError, NotFound
from zfscope.images.decode import decode_photo
from zfscope.images.geometry import Box
from zfscope.images.preprocess import prepare_photo
from zfscope.rounding import first_lowest
from zfscope.store import Model

# Distance between occluded windows in pixels of the network's input.
STRIDE_PX = 16
# Side of the box around a point of a photo, relative to the mean distance between its points.
PART_SIZE = 0.5

# A point of a photo, x and y in its pixels.
Point = tuple[float, float]


class ObjectBox(BaseModel):
    """The object of a photo: id of its class, and its box x0, y0, x1, y1 in pixels of the photo."""

    model_config = ConfigDict(extra="forbid")

    class_id: str = Field(alias="class")
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class OcclusionHit:
    """Whether the occlusion map of an object's class has its minimum inside the object's box.

    box_share: share of the network's input that the box covers.
    """

    class_id: str
    inside: bool
    box_share: float


def read_boxes(path: Path) -> Mapping[str, ObjectBox]:
    """Read the objects by name of the photo. Raises pydantic's ValidationError for another form."""
    return TypeAdapter(dict[str, ObjectBox]).validate_json(path.read_bytes())


def read_points(path: Path) -> Mapping[str, Mapping[str, Point]]:
    """Read the points by names of the photo and the part.

    Raises pydantic's ValidationError for another form, InputError for photos that differ in their parts.
    """
    photos = TypeAdapter(dict[str, dict[str, Point]]).validate_json(path.read_bytes())
    parts = next(iter(photos.values()), {}).keys()
    for name, points in photos.items():
        if points.keys() != parts:
            raise InputError(f"photo '{name}' has the points {[*points]}; the first has {[*parts]}")
    return photos


def read_named(data: Sequence[DataSet], name: str) -> bytes:
    """Return the file of a photo of the first data set that has the name. Raises NotFound."""
    for each in data:
        if name in each.names:
            return read_photo(each.photo(each.names.index(name)))
    folders = ", ".join(str(each.root) for each in data)
    raise NotFound(f"no photo '{name}' in {folders}", field="data")


def occlusion(
    client: LocalClient, model: Model, data: Sequence[DataSet], objects: Mapping[str, ObjectBox]
) -> Mapping[str, Mapping[str, float]]:
    """Return the share of photos whose occlusion map is lowest inside the object, for all and by class.

    Photos of classes that the model lacks are left out.
    """
    names = {label.id: label.name for label in model.labels}
    known = {name: each for name, each in objects.items() if each.class_id in names}
    steps = track(known.items(), f"{model.name}, occlusion:", transient=True)
    hits = [occlusion_hit(client, model, read_named(data, name), each) for name, each in steps]
    return hit_shares(hits, names)


def occlusion_hit(client: LocalClient, model: Model, photo: bytes, labelled: ObjectBox) -> OcclusionHit:
    """Occlude a photo, and locate the minimum of the map of the object's class."""
    result = client.occlude(
        photo,
        classes=[labelled.class_id],
        stride=STRIDE_PX,
        model=model.name,
        version=model.version,
        pictures=False,
        tensors=True,
    )
    (found,) = result.classes
    geometry = prepare_photo(
        decode_photo(photo), model.preprocessing, mean_image=model.mean_image
    ).geometries[0]
    box = geometry.to_network(Box(*labelled.box)).clip(geometry.network_size)
    rows, columns = geometry.network_size
    assert found.value_map is not None  # tensors were requested
    inside = found.lowest_at is not None and is_lowest_inside(found.value_map, box)
    return OcclusionHit(labelled.class_id, inside, box.width * box.height / (rows * columns))


def is_lowest_inside(values: NDArray[np.float32], box: Box) -> bool:
    """Return whether the centre of the first lowest pixel of a map, (H, W), is inside a box."""
    y, x = divmod(first_lowest(values.ravel()), values.shape[1])
    return bool(box.x0 <= x + 0.5 < box.x1 and box.y0 <= y + 0.5 < box.y1)


def hit_shares(hits: Sequence[OcclusionHit], names: Mapping[str, str]) -> Mapping[str, Mapping[str, float]]:
    """Return the number of photos, the share of hits, and that of random positions, for all and by class."""
    groups = {"all": list(hits)}
    for hit in hits:
        groups.setdefault(names[hit.class_id], []).append(hit)
    return {
        name: {
            "photos": len(group),
            "inside": mean(float(hit.inside) for hit in group),
            "chance": mean(hit.box_share for hit in group),
        }
        for name, group in groups.items()
        if group
    }


def correspondence(
    client: LocalClient, model: Model, data: Sequence[DataSet], points: Mapping[str, Mapping[str, Point]]
) -> Mapping[str, Mapping[str, float]]:
    """Return the mean sign change and its standard error by layer and part, random boxes included."""
    boxes = [part_boxes(each) for each in points.values()]
    result = client.correspond(
        [read_named(data, name) for name in points],
        {part: [each[part] for each in boxes] for part in boxes[0]},
        model=model.name,
        version=model.version,
        pictures=False,
    )
    return {
        f"{row.layer}, {row.part}": {
            "pairs": row.pairs,
            "change": row.mean,
            "error": row.deviation / sqrt(row.pairs),
        }
        for row in result.rows
    }


def part_boxes(points: Mapping[str, Point]) -> Mapping[str, Box]:
    """Return a square around each point of a photo; see `PART_SIZE`."""
    half = PART_SIZE / 2 * mean(dist(*pair) for pair in combinations(points.values(), 2))
    return {part: Box(x - half, y - half, x + half, y + half) for part, (x, y) in points.items()}
