"""Feature changes of different photos when a part, or a random box, is occluded in each of them."""

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

# Photos per forward pass; a pass takes a few tenths of a second on two cores. Cancellation is checked before
# each pass.
_BATCH = 4


@dataclass(frozen=True, eq=False)
class OccludedRegion:
    """Region occluded in every photo: for each one a box in whole pixels of the network's input."""

    name: str
    boxes: tuple[Box, ...]


@dataclass(frozen=True, eq=False)
class CorrespondenceRow:
    """Row of the result: a part, or all draws of the control.

    hamming: by layer, float32 (regions, photos, photos), the share of features whose signs differ.
    """

    name: str
    regions: Sequence[OccludedRegion]
    hamming: Mapping[str, NDArray[np.float32]]

    def pairs(self, layer: str) -> NDArray[np.float64]:
        """Return the shares of all pairs of different photos, each pair once per region."""
        shares = self.hamming[layer]
        first, second = np.triu_indices(shares.shape[1], k=1)
        return shares[:, first, second].astype(np.float64).flatten()


def locate_parts(images: Sequence[Prepared], params: CorrespondParams) -> list[OccludedRegion]:
    """Convert the boxes of the parts to pixels of the network's input.

    Raises InputError for a part without exactly one box per photo, and for a box that is outside of the crop
    or empty at the network's resolution.
    """
    regions = []
    for index, part in enumerate(params.parts):
        field = f"parts[{index}].boxes"
        if len(part.boxes) != len(images):
            raise InputError(
                f"{field} of '{part.name}' has {len(part.boxes)} boxes for {len(images)} photos: "
                "give one box per photo, in order",
                field=field,
            )
        boxes = (
            _to_network_pixels(box, prepared, f"{field}[{photo}]")
            for photo, (box, prepared) in enumerate(zip(part.boxes, images, strict=True))
        )
        regions.append(OccludedRegion(part.name, tuple(boxes)))
    return regions


def _to_network_pixels(photo_box: PhotoBox, prepared: Prepared, field: str) -> Box:
    """Convert a box of the photo to the network's input, rounded to whole pixels."""
    geometry = prepared.geometries[0]
    original = Box(photo_box.x0, photo_box.y0, photo_box.x1, photo_box.y1)
    exact = geometry.to_network(original)
    box = Box(round(exact.x0), round(exact.y0), round(exact.x1), round(exact.y1))
    text = _format_box(original)
    if box.clip(geometry.network_size) != box:
        raise InputError(
            f"{field} is {text}; it must lie within {_format_box(geometry.region)}, the part of the photo "
            "that the network sees",
            field=field,
        )
    if not (box.width and box.height):
        side = geometry.region.width / geometry.network_size[1]
        raise InputError(
            f"{field} is {text}, which is empty at the network's resolution: its pixels are {side:.3g} photo "
            "pixels wide; give a larger box",
            field=field,
        )
    return box


def _format_box(box: Box) -> str:
    return f"({box.x0:.6g}, {box.y0:.6g}) to ({box.x1:.6g}, {box.y1:.6g})"


def draw_random_regions(
    images: Sequence[Prepared], parts: Sequence[OccludedRegion], params: CorrespondParams
) -> list[OccludedRegion]:
    """Draw the boxes of the control in a fixed order: by draw, then by photo, x before y."""
    generator = np.random.default_rng(params.seed)
    sizes = [_mean_size([part.boxes[photo] for part in parts]) for photo in range(len(images))]
    inputs = [prepared.geometries[0].network_size for prepared in images]
    return [
        OccludedRegion(
            RANDOM,
            tuple(_random_box(size, inside, generator) for size, inside in zip(sizes, inputs, strict=True)),
        )
        for _ in range(params.random)
    ]


def _mean_size(boxes: Sequence[Box]) -> tuple[int, int]:
    """Return the mean height and width of boxes, rounded to whole pixels."""
    height, width = (np.mean([getattr(box, side) for box in boxes]) for side in ("height", "width"))
    return round(float(height)), round(float(width))


def _random_box(size: tuple[int, int], inside: tuple[int, int], generator: np.random.Generator) -> Box:
    (height, width), (rows, columns) = size, inside
    x = int(generator.integers(columns - width, endpoint=True))
    y = int(generator.integers(rows - height, endpoint=True))
    return Box(x, y, x + width, y + height)


def measure_changes(
    context: Context, params: CorrespondParams, regions: Sequence[OccludedRegion]
) -> list[dict[str, NDArray[np.float32]]]:
    """Return, for each region, the Hamming distances (photos, photos) of every layer."""
    images, steps = context.images, len(regions) + 1
    unoccluded = _features(context, params, [prepared.pixels[0] for prepared in images], 0, steps)
    result = []
    for step, region in enumerate(regions, 1):
        pixels = [
            occlude_box(context.model, prepared, box, params.fill)[1]
            for prepared, box in zip(images, region.boxes, strict=True)
        ]
        features = _features(context, params, pixels, step, steps)
        result.append(
            {
                layer: hamming_distances(change_signs(before, features[layer]))
                for layer, before in unoccluded.items()
            }
        )
    return result


def _features(
    context: Context, params: CorrespondParams, pixels: Sequence[NDArray[np.float32]], step: int, steps: int
) -> dict[str, NDArray[np.float32]]:
    """Run crops through the network in batches, and return their features by layer: (photos, units)."""
    batches: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in params.layers}
    for start in range(0, len(pixels), _BATCH):
        context.check_cancelled()
        batch = np.stack(pixels[start : start + _BATCH])
        outputs = _outputs(context, params, batch)
        for layer, features in batches.items():
            features.append(outputs[layer].reshape(len(batch), -1))
        context.progress((step + (start + len(batch)) / len(pixels)) / steps, None)
    return {layer: np.concatenate(features) for layer, features in batches.items()}


def _outputs(
    context: Context, params: CorrespondParams, pixels: NDArray[np.float32]
) -> Mapping[str, NDArray[np.float32]]:
    """Return the outputs of the layers, by torch in the precision of traces; an opaque network's runtime."""
    model = context.model
    if model.is_opaque:
        return context.runtime.outputs(pixels, params.layers)
    names = [layer.name for layer in model.spec.layers]
    last = max(params.layers, key=names.index)
    traced = trace(model.network, images_of(model, pixels), until=last)
    return {layer: array(traced.outputs[layer]) for layer in params.layers}


def occlude_box(
    model: Model, prepared: Prepared, box: Box, fill: FillColour
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a photo's first crop with a box painted over: its view (H, W, 3) and its input (C, H, W)."""
    rows, columns = box.slices
    view, pixels = prepared.views[0].copy(), prepared.pixels[0].copy()
    view[rows, columns] = fill_colour(fill, model.preprocessing, model.mean_image)
    # Only the box is normalised again: the view of a photo that was sent as a tensor is rounded.
    pixels[:, rows, columns] = normalise(view, model.preprocessing, model.mean_image)[:, rows, columns]
    return view, pixels


def change_signs(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return the signs of before - after, (photos, units) each: -1, 0 or 1; rounding counts as 0."""
    change = before - after
    floors = [[rounding(float(peak))] for peak in np.abs(before).max(axis=1)]
    change[np.abs(change) <= floors] = 0
    result: NDArray[np.int8] = np.sign(change).astype(np.int8)
    return result


def hamming_distances(patterns: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the share of units whose signs differ for each pair of photos: (photos, photos)."""
    shares = np.zeros((len(patterns), len(patterns)), np.float32)
    for i, j in combinations(range(len(patterns)), 2):
        shares[i, j] = shares[j, i] = np.mean(patterns[i] != patterns[j])
    return shares
