"""Whoever reduces tells the same: the strongest unit of every map, layer by layer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.close import assert_close
from zfscope.engine import trace
from zfscope.errors import InputError, NotFound, RuntimeUnavailable
from zfscope.networks import NetworkSpec
from zfscope.networks.spec import Conv, Flatten, Linear, MaxPool, Padding, ReLU
from zfscope.runtimes import OnnxReducing, create_reducing
from zfscope.runtimes.onnx_reducing import reducing_graph
from zfscope.runtimes.onnx_runtime import model_graph
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


@pytest.fixture(scope="module", params=["onnx", "torch"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_strongest_unit_of_every_map_is_that_of_whole_activations(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    model, images = make_model(SPEC), make_images(SPEC, 3)
    reducing = create_reducing(kind, model, LAYERS, sums=True, cache=tmp_path)
    found = reducing.reduce(images)
    assert reducing.name == kind
    assert tuple(found) == LAYERS
    outputs = trace(model.network, torch.from_numpy(images)).outputs
    for layer, reduced in found.items():
        flat = outputs[layer].numpy().reshape(3, outputs[layer].shape[1], -1)
        assert reduced.sums is not None
        assert (reduced.values.dtype, reduced.places.dtype) == (np.float32, np.int64)
        assert_close(reduced.values, flat.max(2))
        np.testing.assert_array_equal(reduced.places, flat.argmax(2), strict=True)
        assert_close(reduced.sums, flat.sum(2))


def test_a_convolution_is_read_before_its_relu(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    model = make_model(SPEC)
    with torch.no_grad():
        model.network.filters["conv1"].bias[:3] = -100
    values = create_reducing(kind, model, ["conv1"], cache=tmp_path).reduce(make_images(SPEC))["conv1"].values
    assert (values[:, :3] < -50).all()
    assert (values[:, 3:] > 0).all()


def test_no_sums_are_told_that_were_not_asked_for(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    reducing = create_reducing(kind, make_model(SPEC), ["conv1"], cache=tmp_path)
    assert reducing.reduce(make_images(SPEC))["conv1"].sums is None


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    model, images = make_model(SPEC), make_images(SPEC, 16)
    here = create_reducing(kind, model, LAYERS, sums=True, cache=tmp_path)
    there = create_reducing(kind, model, LAYERS, sums=True, cache=tmp_path, device="cuda")
    assert there.name == f"{kind} on cuda"
    expected = here.reduce(images)
    for layer, reduced in there.reduce(images).items():
        np.testing.assert_allclose(reduced.values, expected[layer].values, atol=1e-4, err_msg=layer)
        np.testing.assert_array_equal(reduced.places, expected[layer].places, err_msg=layer)
        np.testing.assert_allclose(reduced.sums, expected[layer].sums, atol=1e-3, err_msg=layer)


def test_an_unknown_layer_is_told_with_those_there_are(kind: str, make_model: MakeModel) -> None:
    with pytest.raises(NotFound, match=r"no layer 'conv9'; this model has conv1, relu1, .*, fc4") as caught:
        create_reducing(kind, make_model(SPEC), ["conv1", "conv9"])
    assert caught.value.field == "layers"


def test_images_of_another_size_are_refused(kind: str, make_model: MakeModel, tmp_path: Path) -> None:
    reducing = create_reducing(kind, make_model(SPEC), ["conv1"], cache=tmp_path)
    with pytest.raises(InputError, match=r"network 'oblong' reads \(N, 3, 16, 16\)"):
        reducing.reduce(np.zeros((1, 3, 15, 16), np.float32))


def test_an_unknown_runtime_is_told_with_those_there_are(make_model: MakeModel) -> None:
    with pytest.raises(RuntimeUnavailable, match="no runtime 'tensorrt'; there are onnx, torch, torchserve"):
        create_reducing("tensorrt", make_model(SPEC), ["conv1"])


class TestOnnx:
    """What holds of ONNX Runtime alone."""

    def test_many_threads_at_once_get_what_one_gets_bit_for_bit(
        self, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
    ) -> None:
        reducing = create_reducing("onnx", make_model(SPEC), ["conv2", "fc3"], cache=tmp_path)
        images = make_images(SPEC, 16)
        alone = reducing.reduce(images)
        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(reducing.reduce, [images] * 32):
                for layer, reduced in found.items():
                    np.testing.assert_array_equal(reduced.values, alone[layer].values)

    def test_an_image_gives_the_same_at_every_place_of_a_batch_bit_for_bit(
        self, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
    ) -> None:
        reducing = create_reducing("onnx", make_model(SPEC), LAYERS, cache=tmp_path)
        batch = np.repeat(make_images(SPEC, 1), 16, axis=0)
        for reduced in reducing.reduce(batch).values():
            assert (reduced.values == reduced.values[0]).all()

    def test_graphs_are_kept_apart_in_the_cache(self, make_model: MakeModel, tmp_path: Path) -> None:
        model = make_model(SPEC)
        graphs = {
            reducing_graph(model, ["conv1"], cache=tmp_path),
            reducing_graph(model, ["conv2"], cache=tmp_path),
            reducing_graph(model, ["conv1"], sums=True, cache=tmp_path),
            reducing_graph(make_model(SPEC, weights="b"), ["conv1"], cache=tmp_path),
            model_graph(model, tmp_path),
        }
        assert len(graphs) == 5
        assert reducing_graph(model, ["conv1"], cache=tmp_path) in graphs

    def test_a_graph_may_come_as_bytes(self, make_model: MakeModel, make_images: MakeImages) -> None:
        model = make_model(SPEC)
        unwritable = Path("/dev/null/cache")
        graph = reducing_graph(model, ["conv1"], cache=unwritable)
        assert isinstance(graph, bytes)
        assert OnnxReducing(graph, SPEC, ["conv1"]).reduce(make_images(SPEC))["conv1"].values.shape == (2, 6)
