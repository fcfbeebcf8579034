"""Where photos are covered: their parts, and boxes at random places."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zfscope.errors import InputError
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared
from zfscope_analyzers.boxes import PhotoBox
from zfscope_analyzers.correspond.params import RANDOM, CorrespondParams


@dataclass(frozen=True, eq=False)
class Covering:
    """Something covered in every photo: a box of whole pixels of the network's input for each."""

    name: str
    boxes: tuple[Box, ...]


def parts_of(images: Sequence[Prepared], params: CorrespondParams) -> list[Covering]:
    """Place the parts in the network's input. Raises InputError."""
    coverings = []
    for place, part in enumerate(params.parts):
        field = f"parts[{place}].boxes"
        if len(part.boxes) != len(images):
            raise InputError(
                f"{field} of '{part.name}' has {len(part.boxes)} boxes for {len(images)} photos: "
                "give one for each photo, in order",
                field=field,
            )
        boxes = (
            _placed(box, prepared, f"{field}[{photo}]")
            for photo, (box, prepared) in enumerate(zip(part.boxes, images, strict=True))
        )
        coverings.append(Covering(part.name, tuple(boxes)))
    return coverings


def _placed(given: PhotoBox, prepared: Prepared, field: str) -> Box:
    """Give the whole pixels of the network's input that are nearest to a box of the photo."""
    geometry = prepared.geometries[0]
    exact = geometry.to_network(Box(given.x0, given.y0, given.x1, given.y1))
    box = Box(round(exact.x0), round(exact.y0), round(exact.x1), round(exact.y1))
    words = _words(Box(given.x0, given.y0, given.x1, given.y1))
    if box.clip(geometry.network_size) != box:
        raise InputError(
            f"{field} is {words}; the network sees {_words(geometry.region)} of this photo: "
            "the box has to lie inside of that",
            field=field,
        )
    if not (box.width and box.height):
        side = geometry.region.width / geometry.network_size[1]
        raise InputError(
            f"{field} is {words}, which is empty at the network's resolution, of pixels {side:.3g} wide; "
            "give a larger box",
            field=field,
        )
    return box


def _words(box: Box) -> str:
    return f"({box.x0:.6g}, {box.y0:.6g}) to ({box.x1:.6g}, {box.y1:.6g})"


def draws_of(
    images: Sequence[Prepared], parts: Sequence[Covering], params: CorrespondParams
) -> list[Covering]:
    """Draw the control's boxes: draw by draw, photo by photo, first x, then y."""
    generator = np.random.default_rng(params.seed)
    sizes = [_mean_size([part.boxes[photo] for part in parts]) for photo in range(len(images))]
    inputs = [prepared.geometries[0].network_size for prepared in images]
    return [
        Covering(
            RANDOM,
            tuple(_anywhere(size, inside, generator) for size, inside in zip(sizes, inputs, strict=True)),
        )
        for _ in range(params.random)
    ]


def _mean_size(boxes: Sequence[Box]) -> tuple[int, int]:
    """Give the mean height and width in whole pixels."""
    height, width = (np.mean([getattr(box, side) for box in boxes]) for side in ("height", "width"))
    return round(float(height)), round(float(width))


def _anywhere(size: tuple[int, int], inside: tuple[int, int], generator: np.random.Generator) -> Box:
    (height, width), (rows, columns) = size, inside
    x = int(generator.integers(columns - width, endpoint=True))
    y = int(generator.integers(rows - height, endpoint=True))
    return Box(x, y, x + width, y + height)
