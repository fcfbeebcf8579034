"""How alike features of different photos change when a part, or a random box, is covered in each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Context, array, images_of
from zfscope.engine.trace import trace
from zfscope.errors import InputError
from zfscope.images.geometry import Box
from zfscope.images.normalise import normalise
from zfscope.images.preprocess import Prepared
from zfscope.images.transform import FillColour, fill_colour
from zfscope.rounding import rounding
from zfscope.store import Model
from zfscope_analyzers.correspond.params import RANDOM, CorrespondParams
from zfscope_analyzers.params import PhotoBox

_BATCH = 4
"""Photos in a forward pass: a few tenths of a second on two cores, after which the caller is looked after."""


@dataclass(frozen=True, eq=False)
class Covering:
    """Something covered in every photo: a box of whole pixels of the network's input for each."""

    name: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the result: a part, or all draws of the control.

    hamming: by layer, float32 (coverings, photos, photos), the share of features whose signs differ.
    """

    name: str
    coverings: Sequence[Covering]
    hamming: Mapping[str, NDArray[np.float32]]

    def pairs(self, layer: str) -> NDArray[np.float64]:
        """Return the shares of all pairs of different photos, each pair once per covering."""
        shares = self.hamming[layer]
        first, second = np.triu_indices(shares.shape[1], k=1)
        return shares[:, first, second].astype(np.float64).flatten()


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
    """Return the whole pixels of the network's input that are nearest to a box of the photo."""
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
    """Return the mean height and width in whole pixels."""
    height, width = (np.mean([getattr(box, side) for box in boxes]) for side in ("height", "width"))
    return round(float(height)), round(float(width))


def _anywhere(size: tuple[int, int], inside: tuple[int, int], generator: np.random.Generator) -> Box:
    (height, width), (rows, columns) = size, inside
    x = int(generator.integers(columns - width, endpoint=True))
    y = int(generator.integers(rows - height, endpoint=True))
    return Box(x, y, x + width, y + height)


def compare(
    context: Context, params: CorrespondParams, coverings: Sequence[Covering]
) -> list[dict[str, NDArray[np.float32]]]:
    """Give, for each covering, the Hamming distances by layer: (photos, photos)."""
    images, steps = context.images, len(coverings) + 1
    plain = _features(context, params, [prepared.pixels[0] for prepared in images], 0, steps)
    found = []
    for step, covering in enumerate(coverings, 1):
        pixels = [
            covered(context.model, prepared, box, params.fill)[1]
            for prepared, box in zip(images, covering.boxes, strict=True)
        ]
        features = _features(context, params, pixels, step, steps)
        found.append({layer: hamming(signs(before, features[layer])) for layer, before in plain.items()})
    return found


def _features(
    context: Context, params: CorrespondParams, pixels: Sequence[NDArray[np.float32]], step: int, steps: int
) -> dict[str, NDArray[np.float32]]:
    """Run crops through the network, a few at a time, and give their features by layer: (photos, units)."""
    network = context.model.network
    names = [layer.name for layer in network.spec.layers]
    last = max(params.layers, key=names.index)
    parts: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in params.layers}
    for start in range(0, len(pixels), _BATCH):
        context.check_cancelled()
        batch = np.stack(pixels[start : start + _BATCH])
        outputs = trace(network, images_of(context.model, batch), until=last).outputs
        for layer, kept in parts.items():
            kept.append(array(outputs[layer]).reshape(len(batch), -1))
        context.progress((step + (start + len(batch)) / len(pixels)) / steps, None)
    return {layer: np.concatenate(kept) for layer, kept in parts.items()}


def covered(
    model: Model, prepared: Prepared, box: Box, fill: FillColour
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Paint a box of the first crop over: its view (H, W, 3), and the network's input (3, H, W)."""
    rows, columns = box.slices
    view, pixels = prepared.views[0].copy(), prepared.pixels[0].copy()
    view[rows, columns] = fill_colour(fill, model.preprocessing, model.mean_image)
    # The rest stays as it was: of a photo that came as a tensor the view is rounded.
    pixels[:, rows, columns] = normalise(view, model.preprocessing, model.mean_image)[:, rows, columns]
    return view, pixels


def signs(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return the signs of before - after, features of (photos, units): -1, 0 or 1; rounding counts as 0."""
    change = before - after
    floors = [[rounding(float(peak))] for peak in np.abs(before).max(axis=1)]
    change[np.abs(change) <= floors] = 0
    found: NDArray[np.int8] = np.sign(change).astype(np.int8)
    return found


def hamming(patterns: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the share of units whose signs differ for each two of the photos: (photos, photos)."""
    shares = np.zeros((len(patterns), len(patterns)), np.float32)
    for i, j in combinations(range(len(patterns)), 2):
        shares[i, j] = shares[j, i] = np.mean(patterns[i] != patterns[j])
    return shares
