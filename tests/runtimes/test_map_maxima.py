"""Map maxima: every runtime finds the same strongest unit in each map."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.numeric import assert_close
from zfscope.engine import trace
from zfscope.errors import InputError, NotFound
from zfscope.networks import NetworkSpec
from zfscope.networks.layers import Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.networks.windows import Padding
from zfscope.runtimes import create_runtime
from zfscope.runtimes.onnx.cache import maxima_graph, model_graph
from zfscope.store import Model

MakeModel = Callable[..., Model]
MakeImages = Callable[..., NDArray[np.float32]]

SPEC = NetworkSpec(
    name="oblong",
    input_size=16,
    layers=(
        Conv(name="conv1", channels=6, kernel=3, padding=Padding(2, 0, 2, 1)),  # maps of 18 x 15
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        Conv(name="conv2", channels=5, kernel=3),
        Flatten(name="flatten"),
        Linear(name="fc3", units=7),
        ReLU(name="relu3"),
        Linear(name="fc4", units=3),
    ),
)
LAYERS = ("conv1", "pool1", "conv2", "flatten", "fc3")


@pytest.fixture(params=["onnx", "torch"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_maxima_equal_those_of_the_whole_outputs(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    model, images = make_model(SPEC), make_images(SPEC, 3)
    result = create_runtime(kind, model, cache=tmp_path).map_maxima(images, LAYERS, sums=True)
    assert tuple(result) == LAYERS
    outputs = trace(model.network, torch.from_numpy(images)).outputs
    for layer, maxima in result.items():
        flat = outputs[layer].numpy().reshape(3, outputs[layer].shape[1], -1)
        assert maxima.sums is not None
        assert (maxima.values.dtype, maxima.indices.dtype) == (np.float32, np.int64)
        assert_close(maxima.values, flat.max(2))
        np.testing.assert_array_equal(maxima.indices, flat.argmax(2), strict=True)
        assert_close(maxima.sums, flat.sum(2))


def test_of_equal_maxima_the_first_in_row_major_order_counts(
    kind: str, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model(SPEC)
    images = np.zeros((1, 3, 16, 16), np.float32)
    images[0, :, 6, 9], images[0, :, 9, 6] = 1, 1
    with torch.no_grad():
        model.network.filters["conv1"].weight.fill_(1)
    maxima = create_runtime(kind, model, cache=tmp_path).map_maxima(images, ["conv1"])["conv1"]
    flat = trace(model.network, torch.from_numpy(images)).outputs["conv1"].flatten(2).numpy()
    assert (np.isclose(flat, flat.max(2, keepdims=True)).sum(2) > 1).all()
    np.testing.assert_array_equal(maxima.indices, flat.argmax(2))


def test_a_convolution_is_read_before_its_relu(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    model = make_model(SPEC)
    with torch.no_grad():
        model.network.filters["conv1"].bias[:3] = -100
    runtime = create_runtime(kind, model, cache=tmp_path)
    values = runtime.map_maxima(make_images(SPEC), ["conv1"])["conv1"].values
    assert (values[:, :3] < -50).all()
    assert (values[:, 3:] > 0).all()


@pytest.mark.parametrize("layer", ["conv1", "fc3"])
def test_sums_are_returned_only_on_request(
    kind: str, layer: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    runtime = create_runtime(kind, make_model(SPEC), cache=tmp_path)
    assert runtime.map_maxima(make_images(SPEC), [layer], sums=True)[layer].sums is not None
    assert runtime.map_maxima(make_images(SPEC), [layer])[layer].sums is None


def test_only_the_requested_layers_are_returned(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    runtime = create_runtime(kind, make_model(SPEC), cache=tmp_path)
    assert list(runtime.map_maxima(make_images(SPEC), ["fc3", "conv1", "fc3"])) == ["fc3", "conv1"]
    assert list(runtime.map_maxima(make_images(SPEC), ["conv2"])) == ["conv2"]
    assert runtime.map_maxima(make_images(SPEC), []) == {}


@pytest.mark.gpu
def test_maxima_on_a_gpu_equal_those_on_the_cpu(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    model, images = make_model(SPEC), make_images(SPEC, 16)
    cpu = create_runtime(kind, model, cache=tmp_path)
    gpu = create_runtime(kind, model, cache=tmp_path, device="cuda")
    assert gpu.title == f"{kind} on cuda"
    expected = cpu.map_maxima(images, LAYERS, sums=True)
    for layer, maxima in gpu.map_maxima(images, LAYERS, sums=True).items():
        np.testing.assert_allclose(maxima.values, expected[layer].values, atol=1e-4, err_msg=layer)
        np.testing.assert_array_equal(maxima.indices, expected[layer].indices, err_msg=layer)
        np.testing.assert_allclose(maxima.sums, expected[layer].sums, atol=1e-3, err_msg=layer)


def test_an_unknown_layer_is_rejected_with_the_available_ones(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    runtime = create_runtime(kind, make_model(SPEC), cache=tmp_path)
    with pytest.raises(
        NotFound, match=r"layer 'conv9' not found; available: conv1, relu1, .*, fc4"
    ) as caught:
        runtime.map_maxima(make_images(SPEC), ["conv1", "conv9"])
    assert caught.value.field == "layers"


def test_images_of_the_wrong_size_are_rejected(kind: str, make_model: MakeModel, tmp_path: Path) -> None:
    runtime = create_runtime(kind, make_model(SPEC), cache=tmp_path)
    with pytest.raises(InputError, match=r"network 'oblong' requires \(N, 3, 16, 16\)"):
        runtime.map_maxima(np.zeros((1, 3, 15, 16), np.float32), ["conv1"])


class TestOnnx:
    """ONNX Runtime with one thread per pass."""

    def test_concurrent_calls_return_identical_values(
        self, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
    ) -> None:
        runtime = create_runtime("onnx", make_model(SPEC), threads=1, cache=tmp_path)
        images = make_images(SPEC, 16)
        run = partial(runtime.map_maxima, layers=["conv2", "fc3"])
        alone = run(images)
        with ThreadPoolExecutor(8) as pool:
            for result in pool.map(run, [images] * 32):
                for layer, maxima in result.items():
                    np.testing.assert_array_equal(maxima.values, alone[layer].values)

    def test_values_do_not_depend_on_the_index_in_the_batch(
        self, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
    ) -> None:
        runtime = create_runtime("onnx", make_model(SPEC), threads=1, cache=tmp_path)
        batch = np.repeat(make_images(SPEC, 1), 16, axis=0)
        for maxima in runtime.map_maxima(batch, LAYERS).values():
            assert (maxima.values == maxima.values[0]).all()

    def test_graphs_are_cached_by_layers_sums_and_weights(
        self, make_model: MakeModel, tmp_path: Path
    ) -> None:
        model = make_model(SPEC)
        graphs = {
            maxima_graph(model, ["conv1"], cache=tmp_path),
            maxima_graph(model, ["conv2"], cache=tmp_path),
            maxima_graph(model, ["conv1"], sums=True, cache=tmp_path),
            maxima_graph(make_model(SPEC, weights="b"), ["conv1"], cache=tmp_path),
            model_graph(model, cache=tmp_path),
        }
        assert len(graphs) == 5
        assert maxima_graph(model, ["conv1"], cache=tmp_path) in graphs

    def test_only_the_graph_of_the_requested_layers_is_exported(
        self, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
    ) -> None:
        model = make_model(SPEC)
        create_runtime("onnx", model, threads=1, cache=tmp_path).map_maxima(make_images(SPEC), ["conv1"])
        assert list(tmp_path.iterdir()) == [maxima_graph(model, ["conv1"], cache=tmp_path)]

    def test_a_cache_that_is_not_writable_is_ignored(
        self, make_model: MakeModel, make_images: MakeImages
    ) -> None:
        runtime = create_runtime("onnx", make_model(SPEC), cache=Path("/dev/null/cache"))
        assert runtime.map_maxima(make_images(SPEC), ["conv1"])["conv1"].values.shape == (2, 6)
