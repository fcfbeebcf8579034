"""Invariance of opaque models, compared with bare passes over crops that are shifted by hand."""

import numpy as np
import pytest

from tests.analyzers.opaque.conftest import (
    analyze,
    context_of,
    maps_layer,
    softmax_by_hand,
    unscaled_photos,
)
from tests.support.opaque_models import input_by_hand, reference_outputs
from zfscope.store import Model


def test_distances_and_probabilities_match_shifted_crops(model: Model) -> None:
    (photo,) = unscaled_photos(1)
    layers = [maps_layer(model), model.spec.scores]
    result = analyze(
        "invariance",
        context_of(model, photo),
        transformations=["vertical", "horizontal"],
        translations_px=[-2, 0, 1],
        layers=layers,
    )
    crops = {
        "vertical": [photo[4:36, 2:34], photo[2:34, 2:34], photo[1:33, 2:34]],
        "horizontal": [photo[2:34, 4:36], photo[2:34, 2:34], photo[2:34, 1:33]],
    }
    for kind, views in crops.items():
        outputs = reference_outputs(model, np.stack([input_by_hand(view) for view in views]), layers)
        probabilities = softmax_by_hand(outputs[model.spec.scores])
        target = int(probabilities[1].argmax())
        np.testing.assert_allclose(
            result.tensors[f"{kind}-probabilities"][0], probabilities[:, target], rtol=0, atol=1e-5
        )
        for column, layer in enumerate(layers):
            features = outputs[layer].reshape(3, -1).astype(np.float64)
            expected = np.linalg.norm(features - features[1], axis=1)
            assert expected.min() == 0 < max(expected)
            # A quantised value next to the edge of its step may be rounded to the other.
            relative = 1e-4 if "int8" not in model.name else 1e-2
            distances = result.tensors[f"{kind}-distances"][0, :, column]
            np.testing.assert_allclose(distances, expected, rtol=relative, atol=1e-4)
            normalised = result.tensors[f"{kind}-normalised"][0, :, column]
            np.testing.assert_allclose(
                normalised, expected / np.linalg.norm(features[1]), rtol=relative, atol=1e-4
            )


def test_the_tracked_class_is_that_of_the_clean_photo(model: Model) -> None:
    (photo,) = unscaled_photos(1)
    result = analyze(
        "invariance", context_of(model, photo), transformations=["vertical"], translations_px=[0]
    )
    scores = reference_outputs(model, input_by_hand(photo[2:34, 2:34])[None], [model.spec.scores])
    probabilities = softmax_by_hand(scores[model.spec.scores][0])
    (row,) = result.tables["photos"].records()
    assert row["label_id"] == "abcde"[int(probabilities.argmax())]
    assert row["probability"] == pytest.approx(float(probabilities.max()), abs=1e-5)
