"""Features: the activations of a trace, pooled by plain loops; and photos that have none."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.probe.conftest import LAYERS
from tests.support.imported_networks import add_model, residual, squeeze_and_excitation
from zfscope.datasets import open_data, read_photo
from zfscope.engine import trace
from zfscope.images.decode import decode
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import prepare
from zfscope.networks import NetworkSpec
from zfscope.parallel import Batch
from zfscope.probe.build import select_layers
from zfscope.probe.extract import BatchFeatures, Extractor, normalise
from zfscope.runtimes import create_runtime
from zfscope.store import Model


def extracted(model: Model, data: Path, kind: str, cache: Path) -> BatchFeatures:
    runtime = create_runtime(kind, model, threads=1, cache=cache)
    photos = open_data(data)
    batch = Batch(0, tuple(photos.photo(number) for number in range(9, 19)))
    return Extractor(runtime, LAYERS, model.preprocessing, model.mean_image, DecodeLimits())(batch)


def features_by_loops(outputs: NDArray[np.float32]) -> list[float]:
    """Return the features of one photo's outputs, (maps, rows, columns) or (units,)."""
    if outputs.ndim == 1:
        maxima = outputs.tolist()
    else:
        maps, rows, columns = outputs.shape
        down, across = min(3, rows), min(3, columns)
        maxima = [
            max(
                float(outputs[number, y, x])
                for y in range(rows * i // down, -(-rows * (i + 1) // down))
                for x in range(columns * j // across, -(-columns * (j + 1) // across))
            )
            for number in range(maps)
            for i in range(down)
            for j in range(across)
        ]
    roots = [abs(value) ** 0.5 * (1 if value > 0 else -1) for value in maxima]
    length = (sum(root * root for root in roots) / len(roots)) ** 0.5
    return [root / length for root in roots]


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_features_equal_those_of_a_trace_pooled_by_loops(
    kind: str, model: Model, photos: Path, tmp_path: Path
) -> None:
    result = extracted(model, photos, kind, tmp_path)
    assert result.photos.tolist() == [9, 10, 11, 13, 14, 15, 16, 17]
    data = open_data(photos)
    for row, number in enumerate(result.photos.tolist()):
        photo = decode(read_photo(data.photo(number)))
        image = torch.from_numpy(prepare(photo, model.preprocessing).pixels)
        outputs = trace(model.network, image).outputs
        for layer in LAYERS:
            expected = features_by_loops(outputs[layer][0].numpy())
            np.testing.assert_allclose(result.layers[layer][row], expected, rtol=1e-3, atol=1e-3)


def test_an_extractor_that_ran_once_can_be_sent_to_another_process(
    model: Model, photos: Path, tmp_path: Path
) -> None:
    data = open_data(photos)
    runtime = create_runtime("onnx", model, threads=1, cache=tmp_path)
    extractor = Extractor(runtime, LAYERS, model.preprocessing, model.mean_image, DecodeLimits())
    extractor.warm_up()
    copy = pickle.loads(pickle.dumps(extractor))
    one, other = (each(Batch(0, (data.photo(0), data.photo(1)))) for each in (extractor, copy))
    for layer in LAYERS:
        np.testing.assert_array_equal(one.layers[layer], other.layers[layer])


@pytest.mark.parametrize("network", [residual, squeeze_and_excitation])
def test_imported_networks_have_features(
    network: Callable[[], NetworkSpec], photos: Path, tmp_path: Path
) -> None:
    model = add_model(tmp_path / "models", network())
    layers = select_layers(model.spec, [], has_classes=True)
    assert len(layers) >= 2
    data = open_data(photos)
    runtime = create_runtime("onnx", model, threads=1, cache=tmp_path)
    extractor = Extractor(runtime, layers, model.preprocessing, None, DecodeLimits())
    result = extractor(Batch(0, (data.photo(0),)))
    image = torch.from_numpy(prepare(decode(read_photo(data.photo(0))), model.preprocessing).pixels)
    outputs = trace(model.network, image).outputs
    for layer in layers:
        expected = features_by_loops(outputs[layer][0].numpy())
        np.testing.assert_allclose(result.layers[layer][0], expected, rtol=2e-3, atol=2e-3)


def test_photos_that_cannot_be_used_are_listed_with_the_reason(
    model: Model, photos: Path, tmp_path: Path
) -> None:
    skipped = extracted(model, photos, "onnx", tmp_path).skipped
    assert [each.photo for each in skipped] == [12, 18]
    assert all(each.reason.startswith("the file is not an image") for each in skipped)


def test_a_photo_whose_activations_overflow_is_skipped(model: Model, photos: Path, tmp_path: Path) -> None:
    class Overflowing:
        def cell_maxima(self, images: NDArray[np.float32], layers: object) -> dict[str, NDArray[np.float32]]:
            return {
                "a": np.ones((16, 2), np.float32),
                "b": np.array([[1, np.inf]] + [[1, 1]] * 15, np.float32),
            }

    data = open_data(photos)
    batch = Batch(0, (data.photo(0), data.photo(1)))
    extractor = Extractor(
        Overflowing(),
        ("a", "b"),
        model.preprocessing,
        None,
        DecodeLimits(),  # type: ignore[arg-type]
    )
    result = extractor(batch)
    assert result.skipped == ((0, "its activations of layer 'b' are not finite"),)
    assert result.photos.tolist() == [1]
    assert {name: each.shape for name, each in result.layers.items()} == {"a": (1, 2), "b": (1, 2)}


def test_features_are_roots_with_a_root_mean_square_of_one() -> None:
    maxima = np.array(
        [[[[9, 0], [0, 16]]], [[[-4, 0], [0, 0]]], [[[0, 0], [0, 0]]], [[[3e38] * 2] * 2]], np.float32
    )
    np.testing.assert_allclose(
        normalise(maxima), [[1.2, 0, 0, 1.6], [-2, 0, 0, 0], [0] * 4, [1] * 4], rtol=1e-3
    )


def test_results_of_batches_are_merged() -> None:
    one, two = (
        BatchFeatures(np.array([number]), {"a": np.full((1, 2), number, np.float16)}, ((number + 10, "bad"),))  # type: ignore[arg-type]
        for number in (1, 2)
    )
    both = one.merge(two)
    assert both.photos.tolist() == [1, 2]
    assert both.layers["a"].tolist() == [[1, 1], [2, 2]]
    assert [each[0] for each in both.skipped] == [11, 12]
