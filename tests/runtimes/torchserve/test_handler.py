"""The handler, called as TorchServe calls it: with batches, on an archive that is unpacked."""

import importlib.util
import inspect
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import BRANCHY
from tests.runtimes.torchserve.conftest import write_seeded
from tests.support.numeric import assert_close
from tests.support.programs import require_module
from zfscope.engine.trace import trace
from zfscope.errors import DamagedModel
from zfscope.runtimes.torchserve.archive import Batching, write_archive
from zfscope.runtimes.torchserve.handler import Handler
from zfscope.runtimes.torchserve.message import IMAGES, LAYERS, REDUCE, WEIGHTS, Array, Message, pack, unpack
from zfscope.store import Model


def unpacked(model: Model, folder: Path) -> Any:
    """Give what TorchServe tells a handler whose archive it has unpacked into a folder."""
    require_module("model_archiver", "pip install torch-model-archiver")
    write_archive(model, folder / "model.mar", Batching())
    with zipfile.ZipFile(folder / "model.mar") as archive:
        archive.extractall(folder / "inside")
        stated = json.loads(archive.read("MAR-INF/MANIFEST.json"))
    return SimpleNamespace(
        manifest=stated, system_properties={"model_dir": str(folder / "inside"), "gpu_id": None}
    )


def started(context: Any) -> Handler:
    handler = Handler()
    handler.initialize(context)
    return handler


@pytest.fixture
def handler(tiny: Model, tmp_path: Path) -> Handler:
    return started(unpacked(tiny, tmp_path))


def images(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 1, (count, 3, 33, 33)).astype(np.float32)


def request(
    model: Model, pixels: Array, layers: str, parts: Mapping[str, bytes] | None = None
) -> dict[str, bytearray]:
    """Give a request; bytearrays, as TorchServe has them."""
    whole = {
        WEIGHTS: model.weights_sha256.encode(),
        IMAGES: pack(Message({IMAGES: pixels})),
        LAYERS: layers.encode(),
        **(parts or {}),
    }
    return {name: bytearray(value) for name, value in whole.items()}


def test_requests_of_a_batch_get_their_own_layers_of_their_own_images(handler: Handler, tiny: Model) -> None:
    asked = [(images(2, 1), "fc8"), (images(1, 2), "conv2,fc8"), (images(3, 3), "norm1")]
    answers = handler.handle([request(tiny, *one) for one in asked], None)
    for (pixels, layers), answer in zip(asked, answers, strict=True):
        expected = trace(tiny.network, torch.from_numpy(pixels)).outputs
        found = unpack(answer)
        assert found.metadata == {}
        assert set(found.arrays) == set(layers.split(","))
        for layer, array in found.arrays.items():
            assert_close(array, expected[layer].numpy())


def test_a_batch_runs_one_pass(handler: Handler, tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    forward = handler._runtime.forward
    monkeypatch.setattr(handler._runtime, "forward", lambda x: passes.append(len(x)) or forward(x))
    handler.handle([request(tiny, images(2), "fc8"), request(tiny, images(3), "fc8")], None)
    assert passes == [5]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({WEIGHTS: b"0" * 64}, "it serves other weights"),
        ({WEIGHTS: b"\xff\xfe"}, "can't decode byte"),
        ({IMAGES: b"no tensors"}, "10 bytes that are not in safetensors format"),
        ({IMAGES: pack(Message({"photos": images(1)}))}, "images"),
        ({IMAGES: pack(Message({IMAGES: images(1)[:, :, 1:]}))}, "network 'tiny' requires"),
        ({IMAGES: pack(Message({IMAGES: images(1).astype(np.float64)}))}, "images of type float64"),
        ({LAYERS: b"conv9"}, "layer 'conv9' not found"),
        ({LAYERS: b""}, "layer '' not found"),
        ({REDUCE: b"mean"}, "'reduce' is 'mean'; allowed: values, sums"),
    ],
)
def test_a_bad_request_gets_an_error_and_its_neighbours_their_answers(
    handler: Handler, tiny: Model, parts: dict[str, bytes], reason: str
) -> None:
    good = [request(tiny, images(1, seed), "fc8") for seed in (1, 2)]
    first, bad, last = handler.handle([good[0], request(tiny, images(1), "fc8", parts), good[1]], None)
    assert reason in unpack(bad).metadata["error"]
    assert unpack(bad).arrays == {}
    for seed, answer in ((1, first), (2, last)):
        expected = tiny.network(torch.from_numpy(images(1, seed))).numpy()
        assert_close(unpack(answer).arrays["fc8"], expected)


def test_of_every_map_only_its_strongest_unit_comes_where_that_is_asked_for(
    handler: Handler, tiny: Model
) -> None:
    asked = [
        request(tiny, images(2, 1), "conv2,fc8", {REDUCE: b"sums"}),
        request(tiny, images(1, 2), "conv2"),
        request(tiny, images(3, 3), "conv2", {REDUCE: b"values"}),
    ]
    sums, whole, values = (unpack(answer) for answer in handler.handle(asked, None))
    kinds = ("value", "place", "sum")
    assert set(sums.arrays) == {f"{layer}/{kind}" for layer in ("conv2", "fc8") for kind in kinds}
    assert set(whole.arrays) == {"conv2"}
    assert set(values.arrays) == {"conv2/value", "conv2/place"}
    maps = trace(tiny.network, torch.from_numpy(images(2, 1))).outputs["conv2"].flatten(2).numpy()
    assert_close(sums.arrays["conv2/value"], maps.max(2))
    np.testing.assert_array_equal(sums.arrays["conv2/place"], maps.argmax(2))
    assert_close(sums.arrays["conv2/sum"], maps.sum(2))


def test_a_request_without_images_asks_whether_it_is_there(handler: Handler, tiny: Model) -> None:
    (answer,) = handler.handle([{WEIGHTS: tiny.weights_sha256.encode()}], None)
    assert (unpack(answer).arrays, unpack(answer).metadata) == ({}, {})


def test_a_request_without_anything_is_refused(handler: Handler) -> None:
    (answer,) = handler.handle([{}], None)
    assert "it serves other weights" in unpack(answer).metadata["error"]


def test_a_network_with_branches_gives_every_layer(tmp_path: Path) -> None:
    model = write_seeded(tmp_path / "store", BRANCHY)
    pixels = np.random.default_rng(0).normal(0, 1, (2, 3, 31, 31)).astype(np.float32)
    layers = [layer.name for layer in BRANCHY.layers]
    handler = started(unpacked(model, tmp_path))
    (answer,) = handler.handle([request(model, pixels, ",".join(layers))], None)
    expected = trace(model.network, torch.from_numpy(pixels)).outputs
    assert set(unpack(answer).arrays) == set(layers)
    for layer, array in unpack(answer).arrays.items():
        assert_close(array, expected[layer].numpy(), name=layer)


def test_a_damaged_archive_is_not_served(tiny: Model, tmp_path: Path) -> None:
    context = unpacked(tiny, tmp_path)
    weights = Path(context.system_properties["model_dir"], "tiny", "1", "weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(DamagedModel, match=r"'weights.safetensors' does not match the manifest"):
        Handler().initialize(context)


def test_torchserve_finds_one_class_in_the_file_of_the_archive(tiny: Model, tmp_path: Path) -> None:
    """It takes the only class that a file defines for the handler, and refuses two."""
    folder = Path(unpacked(tiny, tmp_path).system_properties["model_dir"])
    spec = importlib.util.spec_from_file_location("zfscope_handler", folder / "zfscope_handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    own = [found for _, found in inspect.getmembers(module, inspect.isclass) if found.__module__ == spec.name]
    assert len(own) == 1
    assert issubclass(own[0], Handler)
