"""Correspondence in opaque models, compared with bare passes over photos that are occluded by hand."""

from itertools import combinations

import numpy as np

from tests.analyzers.opaque.conftest import analyze, context_of, maps_layer, unscaled_photos
from tests.support.opaque_models import input_by_hand, reference_outputs
from zfscope.store import Model

CORNERS = [(5, 8), (10, 4), (20, 17)]


def test_distances_are_shares_of_signs_that_differ(model: Model) -> None:
    photos, layers = unscaled_photos(3), [maps_layer(model), model.spec.scores]
    boxes = [{"x0": x, "y0": y, "x1": x + 9, "y1": y + 7} for x, y in CORNERS]
    result = analyze(
        "correspond",
        context_of(model, *photos),
        parts=[{"name": "nose", "boxes": boxes}],
        layers=layers,
        random=0,
    )
    signs: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    for photo, (x, y) in zip(photos, CORNERS, strict=True):
        occluded = photo.copy()
        occluded[y : y + 7, x : x + 9] = 128
        pair = np.stack([input_by_hand(each[2:34, 2:34]) for each in (photo, occluded)])
        for layer, values in reference_outputs(model, pair, layers).items():
            before, after = values.reshape(2, -1).astype(np.float64)
            change = before - after
            # Sixteen units in the last place of the largest feature are rounding.
            change[np.abs(change) <= 16 * 2.0**-23 * np.abs(before).max()] = 0
            signs[layer].append(np.sign(change))
    assert result.tensors["hamming"].shape == (1, 2, 3, 3)
    for column, layer in enumerate(layers):
        size = signs[layer][0].size
        for one, other in combinations(range(3), 2):
            expected = np.mean(signs[layer][one] != signs[layer][other])
            found = result.tensors["hamming"][0, column, one, other]
            # One feature next to the tolerance, or next to the edge of a quantisation step, may differ.
            assert abs(found - expected) <= 1.01 / size * (1 if "int8" not in model.name else 3)
