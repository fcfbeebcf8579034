"""The handler, called like TorchServe calls it: with batches, for an unpacked archive."""

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

from tests.conftest import BRANCHY, TINY
from tests.runtimes.torchserve.conftest import write_seeded
from tests.support.numeric import assert_close
from tests.support.programs import require_module
from zfscope.engine.trace import trace
from zfscope.errors import DamagedModel
from zfscope.runtimes.torchserve.archive import Batching, write_archive
from zfscope.runtimes.torchserve.handler import Handler
from zfscope.runtimes.torchserve.message import IMAGES, LAYERS, REDUCE, WEIGHTS, Array, Message, pack, unpack
from zfscope.store import Model


def unpack_archive(model: Model, folder: Path) -> Any:
    """Unpack the archive of a model, and return the context that TorchServe passes to its handler."""
    require_module("model_archiver", "pip install torch-model-archiver")
    write_archive(model, folder / "model.mar", Batching())
    with zipfile.ZipFile(folder / "model.mar") as archive:
        archive.extractall(folder / "unpacked")
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
    return SimpleNamespace(
        manifest=manifest, system_properties={"model_dir": str(folder / "unpacked"), "gpu_id": None}
    )


def initialised(context: Any) -> Handler:
    handler = Handler()
    handler.initialize(context)
    return handler


@pytest.fixture
def handler(tiny: Model, tmp_path: Path) -> Handler:
    return initialised(unpack_archive(tiny, tmp_path))


def images(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 1, (count, 3, 33, 33)).astype(np.float32)


def request(
    model: Model, pixels: Array, layers: str, parts: Mapping[str, bytes] | None = None
) -> dict[str, bytearray]:
    """Return a request as TorchServe passes it, with bytearrays."""
    all_parts = {
        WEIGHTS: model.weights_sha256.encode(),
        IMAGES: pack(Message({IMAGES: pixels})),
        LAYERS: layers.encode(),
        **(parts or {}),
    }
    return {name: bytearray(value) for name, value in all_parts.items()}


def test_each_request_of_a_batch_gets_its_layers_for_its_images(handler: Handler, tiny: Model) -> None:
    requests = [(images(2, 1), "fc8"), (images(1, 2), "conv2,fc8"), (images(3, 3), "norm1")]
    responses = handler.handle([request(tiny, *arguments) for arguments in requests], None)
    for (pixels, layers), response in zip(requests, responses, strict=True):
        expected = trace(tiny.network, torch.from_numpy(pixels)).outputs
        message = unpack(response)
        assert message.metadata == {}
        assert set(message.arrays) == set(layers.split(","))
        for layer, array in message.arrays.items():
            assert_close(array, expected[layer].numpy())


def test_a_network_of_one_channel_is_served(tmp_path: Path) -> None:
    spec = TINY.model_copy(update={"name": "grey", "input_channels": 1})
    model = write_seeded(tmp_path / "store", spec)
    handler, pixels = initialised(unpack_archive(model, tmp_path)), images(2)[:, :1]
    (response,) = handler.handle([request(model, pixels, "fc8")], None)
    assert_close(unpack(response).arrays["fc8"], model.network(torch.from_numpy(pixels)).numpy())


@pytest.mark.parametrize(("quota", "threads"), [(1.5, 2), (64, 3), (None, 3)])
def test_the_quota_of_a_container_limits_the_threads(
    tiny: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quota: float | None,
    threads: int,
) -> None:
    monkeypatch.setattr("zfscope.processors.cpu_quota", lambda: quota)
    monkeypatch.setattr("os.process_cpu_count", lambda: 16, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        initialised(unpack_archive(tiny, tmp_path))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_batch_runs_in_one_pass(handler: Handler, tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    forward = handler._runtime.forward
    monkeypatch.setattr(handler._runtime, "forward", lambda x: passes.append(len(x)) or forward(x))
    handler.handle([request(tiny, images(2), "fc8"), request(tiny, images(3), "fc8")], None)
    assert passes == [5]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({WEIGHTS: b"0" * 64}, "serves different weights"),
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
def test_an_invalid_request_does_not_affect_the_others_of_its_batch(
    handler: Handler, tiny: Model, parts: dict[str, bytes], reason: str
) -> None:
    good = [request(tiny, images(1, seed), "fc8") for seed in (1, 2)]
    first, bad, last = handler.handle([good[0], request(tiny, images(1), "fc8", parts), good[1]], None)
    assert reason in unpack(bad).metadata["error"]
    assert unpack(bad).arrays == {}
    for seed, response in ((1, first), (2, last)):
        expected = tiny.network(torch.from_numpy(images(1, seed))).numpy()
        assert_close(unpack(response).arrays["fc8"], expected)


def test_only_map_maxima_are_returned_on_request(handler: Handler, tiny: Model) -> None:
    requests = [
        request(tiny, images(2, 1), "conv2,fc8", {REDUCE: b"sums"}),
        request(tiny, images(1, 2), "conv2"),
        request(tiny, images(3, 3), "conv2", {REDUCE: b"values"}),
    ]
    sums, whole, values = (unpack(response) for response in handler.handle(requests, None))
    parts = ("value", "place", "sum")
    assert set(sums.arrays) == {f"{layer}/{part}" for layer in ("conv2", "fc8") for part in parts}
    assert set(whole.arrays) == {"conv2"}
    assert set(values.arrays) == {"conv2/value", "conv2/place"}
    maps = trace(tiny.network, torch.from_numpy(images(2, 1))).outputs["conv2"].flatten(2).numpy()
    assert_close(sums.arrays["conv2/value"], maps.max(2))
    np.testing.assert_array_equal(sums.arrays["conv2/place"], maps.argmax(2))
    assert_close(sums.arrays["conv2/sum"], maps.sum(2))


def test_a_request_without_images_checks_the_weights(handler: Handler, tiny: Model) -> None:
    (response,) = handler.handle([{WEIGHTS: tiny.weights_sha256.encode()}], None)
    assert (unpack(response).arrays, unpack(response).metadata) == ({}, {})


def test_an_empty_request_is_rejected(handler: Handler) -> None:
    (response,) = handler.handle([{}], None)
    assert "serves different weights" in unpack(response).metadata["error"]


def test_every_layer_of_a_network_with_branches_is_returned(tmp_path: Path) -> None:
    model = write_seeded(tmp_path / "store", BRANCHY)
    pixels = np.random.default_rng(0).normal(0, 1, (2, 3, 31, 31)).astype(np.float32)
    layers = [layer.name for layer in BRANCHY.layers]
    handler = initialised(unpack_archive(model, tmp_path))
    (response,) = handler.handle([request(model, pixels, ",".join(layers))], None)
    expected = trace(model.network, torch.from_numpy(pixels)).outputs
    assert set(unpack(response).arrays) == set(layers)
    for layer, array in unpack(response).arrays.items():
        assert_close(array, expected[layer].numpy(), name=layer)


def test_a_damaged_archive_is_rejected(tiny: Model, tmp_path: Path) -> None:
    context = unpack_archive(tiny, tmp_path)
    weights = Path(context.system_properties["model_dir"], "tiny", "1", "weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(DamagedModel, match=r"'weights.safetensors' does not match the manifest"):
        Handler().initialize(context)


def test_the_handler_file_defines_one_class(tiny: Model, tmp_path: Path) -> None:
    """TorchServe uses the only class that the file defines, and rejects a file with two."""
    folder = Path(unpack_archive(tiny, tmp_path).system_properties["model_dir"])
    spec = importlib.util.spec_from_file_location("zfscope_handler", folder / "zfscope_handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    classes = [member for _, member in inspect.getmembers(module, inspect.isclass)]
    defined = [member for member in classes if member.__module__ == spec.name]
    assert len(defined) == 1
    assert issubclass(defined[0], Handler)
