"""The runtime of opaque networks: equal to ONNX Runtime on the exported file, whatever the batch."""

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.opaque_models import (
    NAMES,
    SIZE,
    add_opaque_model,
    layer_by_hand,
    reference_scores,
    reference_tensors,
)
from zfscope.errors import InputError, NotFound
from zfscope.networks.layers import GraphTensor
from zfscope.runtimes import create_runtime
from zfscope.runtimes.onnx.opaque import OpaqueRuntime
from zfscope.store import Model


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return add_opaque_model(tmp_path_factory.mktemp("store"), request.param)


@pytest.fixture
def runtime(model: Model) -> OpaqueRuntime:
    runtime = create_runtime("onnx", model, threads=1)
    assert isinstance(runtime, OpaqueRuntime)
    return runtime


@pytest.fixture
def images() -> NDArray[np.float32]:
    scales = np.array([1, 0.2, 3, 1, 0.5]).reshape(-1, 1, 1, 1)
    return (np.random.default_rng(3).standard_normal((5, 3, SIZE, SIZE)) * scales).astype(np.float32)


def test_class_scores_equal_those_of_the_exported_file(
    model: Model, runtime: OpaqueRuntime, images: NDArray[np.float32]
) -> None:
    scores, expected = runtime.forward(images), reference_scores(model.name, images)
    assert scores.shape == (5, 5)
    assert np.ptp(expected, axis=0).min() > 1e-3, "the scores depend on the image"
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def test_scores_of_an_image_do_not_depend_on_the_batch(
    runtime: OpaqueRuntime, images: NDArray[np.float32]
) -> None:
    alone = np.concatenate([runtime.forward(image[None]) for image in images])
    np.testing.assert_allclose(runtime.forward(images), alone, rtol=0, atol=1e-5)


def test_layers_are_the_tensors_of_the_exported_file(
    model: Model, runtime: OpaqueRuntime, images: NDArray[np.float32]
) -> None:
    layers = [layer for layer in model.spec.layers if isinstance(layer, GraphTensor)]
    outputs = runtime.outputs(images[:2], [layer.name for layer in layers])
    _, *expected = reference_tensors(model.name, images[:2], [layer.tensor for layer in layers])
    assert len(outputs) == len(layers) > 5
    for layer, tensor in zip(layers, expected, strict=True):
        # A quantised value next to the edge of its step may be rounded to the other.
        tolerance = 1e-5 if "int8" not in model.name else 2e-2
        np.testing.assert_allclose(
            outputs[layer.name], layer_by_hand(layer, tensor), rtol=0, atol=tolerance * np.abs(tensor).max()
        )


def test_maxima_and_cells_are_those_of_the_outputs(
    model: Model, runtime: OpaqueRuntime, images: NDArray[np.float32]
) -> None:
    layer = next(layer.name for layer in reversed(model.spec.layers) if model.spec.has_maps(layer.name))
    values = runtime.outputs(images, [layer])[layer]
    maxima = runtime.map_maxima(images, [layer], sums=True)[layer]
    cells = runtime.cell_maxima(images, [layer])[layer]
    for image, number in np.ndindex(values.shape[:2]):
        feature_map = values[image, number]
        y, x = divmod(int(maxima.indices[image, number]), feature_map.shape[1])
        assert maxima.values[image, number] == feature_map.max() == feature_map[y, x]
        assert maxima.sums is not None
        assert maxima.sums[image, number] == pytest.approx(feature_map.sum(), rel=1e-5, abs=1e-5)
        assert cells[image, number].max() == feature_map.max()


def test_a_runtime_is_pickled_with_its_graph(runtime: OpaqueRuntime, images: NDArray[np.float32]) -> None:
    copy = pickle.loads(pickle.dumps(runtime))
    np.testing.assert_array_equal(copy.forward(images), runtime.forward(images))


def test_layers_are_checked(runtime: OpaqueRuntime, images: NDArray[np.float32]) -> None:
    assert runtime.outputs(images, []) == {}
    with pytest.raises(NotFound, match="layer 'conv9' not found"):
        runtime.outputs(images, ["conv9"])
    with pytest.raises(InputError, match="requires"):
        runtime.forward(images[:, :, 1:])


@pytest.mark.parametrize(
    "arguments", [{"kind": "torch"}, {"kind": "torchserve"}], ids=["torch", "torchserve"]
)
def test_other_runtimes_are_rejected(model: Model, arguments: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match=r"is an opaque graph, which only runtime 'onnx' runs; runtime is 't"
    ):
        create_runtime(model=model, **arguments)


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_bfloat16_is_rejected_without_naming_a_runtime_that_cannot_run_the_graph(
    model: Model, kind: str
) -> None:
    with pytest.raises(
        InputError, match=r"opaque graph, which does not run in bfloat16; use float32"
    ) as caught:
        create_runtime(kind, model, precision="bfloat16")
    assert caught.value.field == "precision"


def test_a_network_to_walk_is_refused_with_the_operator_in_the_way(model: Model) -> None:
    with pytest.raises(
        InputError, match=r"version 1 is an opaque graph, not a list of layers \(\w+ '"
    ) as caught:
        _ = model.network
    assert caught.value.field == "model"
