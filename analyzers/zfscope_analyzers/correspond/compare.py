"""How alike features of different photos change when something is covered in each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Context, array, images_of
from zfscope.engine.trace import trace
from zfscope.images.geometry import Box
from zfscope.images.normalise import normalise
from zfscope.images.preprocess import Prepared
from zfscope.images.transform import FillColour, fill_colour
from zfscope.rounding import rounding
from zfscope.store import Model
from zfscope_analyzers.correspond.params import CorrespondParams
from zfscope_analyzers.correspond.places import Covering

_BATCH = 4
"""Photos in a forward pass: a few tenths of a second on two cores, after which the caller is looked after."""


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the result: a part, or all draws of the control.

    hamming: by layer, float32 (coverings, photos, photos), the share of features whose signs differ.
    """

    name: str
    coverings: Sequence[Covering]
    hamming: Mapping[str, NDArray[np.float32]]

    def pairs(self, layer: str) -> NDArray[np.float64]:
        """Give the shares of all pairs of different photos, each pair once per covering."""
        shares = self.hamming[layer]
        first, second = np.triu_indices(shares.shape[1], k=1)
        return shares[:, first, second].astype(np.float64).flatten()


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
    rows, columns = slice(int(box.y0), int(box.y1)), slice(int(box.x0), int(box.x1))
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
    """Give the share of units whose signs differ for each two of the photos: (photos, photos)."""
    shares = np.zeros((len(patterns), len(patterns)), np.float32)
    for i, j in combinations(range(len(patterns)), 2):
        shares[i, j] = shares[j, i] = np.mean(patterns[i] != patterns[j])
    return shares
