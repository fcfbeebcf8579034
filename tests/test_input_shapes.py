"""Every analysis on networks of one channel and of unusual input sizes, in this process and over the wire."""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tests.server.conftest import run_service
from tests.server.oip.messages import (
    network_scores,
    parameters,
    raw_outputs,
    raw_photos,
    raw_tensors,
    requested_outputs,
)
from tests.support.input_models import PREPROCESSING, expected_input, photo, planes_of, write_models
from zfscope import LocalClient
from zfscope.cli.app import app
from zfscope.client import Box, Client, PixelTensor
from zfscope.engine.trace import trace
from zfscope.errors import InputError
from zfscope.images.preprocess import prepare
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.results import Picture
from zfscope.scan import open_index
from zfscope.server.settings import Settings
from zfscope.store import Model, ModelStore

Clients: TypeAlias = tuple[LocalClient, Client]

PHOTOS = [photo(20), photo(21), photo(22)]
# The photos have 80 x 60 pixels; every network sees at least (14, 4) to (66, 56).
PARTS = {"left": [Box(18, 12, 30, 30)] * 3, "right": [Box(44, 20, 60, 44)] * 3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of a store with indexes, and of the indexed photos."""
    return write_models(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def address(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(
        listen="127.0.0.1:0",
        store=folders[0],
        default_model="grey-28",
        cache=tmp_path_factory.mktemp("graphs"),
        threads=1,
        lame_duck_s=0,
        kept_models=4,
    )
    with run_service(settings) as service:
        service.warm_up()
        yield service.address


@pytest.fixture(scope="module")
def clients(folders: tuple[Path, Path], address: str) -> Iterator[Clients]:
    with LocalClient(folders[0]) as local, Client(address) as remote:
        yield local, remote


@pytest.fixture(params=PREPROCESSING)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str, folders: tuple[Path, Path]) -> Model:
    return ModelStore(folders[0]).load(name)


def is_grey(picture: Picture | None) -> bool:
    """Return whether a picture consists of grey levels."""
    assert picture is not None
    pixels = np.asarray(picture.image().convert("RGB"))
    return bool((pixels == pixels[..., :1]).all())


def assert_equal(actual: Any, expected: Any) -> None:
    """Compare two results, field by field; numbers up to float32 rounding."""
    for field in fields(expected):
        one, other = getattr(actual, field.name), getattr(expected, field.name)
        if isinstance(other, np.ndarray):
            np.testing.assert_allclose(
                one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max(), err_msg=field.name
            )


def test_classes_are_those_of_the_input_that_pillow_prepares(
    clients: Clients, name: str, model: Model
) -> None:
    expected = expected_input(PHOTOS[0], PREPROCESSING[name])
    scores = network_scores(model, expected[None])[0]
    for client in clients:
        for image in (PHOTOS[0], expected, expected[None]):
            answer = client.classify(image, model=name, top=3)
            logits = {each.index: each.logit for each in answer.classes}
            assert [logits[index] for index in range(3)] == pytest.approx(scores, rel=1e-3, abs=1e-3)
        assert len(client.classify(PHOTOS[0], model=name, ten_crop=True).classes) == 3


def test_pixels_of_the_input_size_are_normalised(clients: Clients, name: str) -> None:
    levels = np.random.default_rng(1).integers(0, 256, planes_of(name), np.uint8)
    photo = levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)
    steps = PREPROCESSING[name].model_copy(update={"short_side": 0, "centre": PREPROCESSING[name].crop})
    planes = np.atleast_3d(photo) if len(levels) == 3 else np.repeat(photo[..., None], 3, axis=-1)
    expected = prepare(planes, steps).pixels[0]
    for client in clients:
        by_service = client.classify(PixelTensor(levels), model=name).classes
        assert by_service == client.classify(expected, model=name).classes


def test_a_tensor_of_other_channels_is_rejected(clients: Clients) -> None:
    for client in clients:
        for name, shape, allowed in (
            ("grey-96", (3, 96, 96), r"\(1, 96, 96\)"),
            ("bgr-96", (1, 96, 96), r"\(3, 96, 96\)"),
        ):
            with pytest.raises(InputError, match=rf"has shape .*; allowed: {allowed}") as caught:
                client.classify(np.zeros(shape, np.float32), model=name)
            assert caught.value.field == "image.tensor"


def test_the_description_states_channels_and_interpolation(clients: Clients, name: str) -> None:
    steps = PREPROCESSING[name]
    for client in clients:
        described = client.model(name).preprocessing
        assert (described.channels, described.interpolation) == (steps.channels, steps.interpolation)
        assert (described.mean, described.std) == (pytest.approx(steps.mean), pytest.approx(steps.std))


def test_projections_have_the_channels_of_the_network(clients: Clients, name: str) -> None:
    local, remote = (
        client.project(PHOTOS[0], layer="conv2", model=name, tensors=True, control=True) for client in clients
    )
    assert len(local.projections) == 6
    for one, other in zip(local.projections, remote.projections, strict=True):
        assert one.tensor is not None
        assert one.tensor.shape == planes_of(name)
        assert is_grey(one.picture) == (len(one.tensor) == 1)
        assert_equal(other, one)


@pytest.mark.parametrize("fill", ["grey", "mean", "blur", "#ff8000"])
def test_recomputing_what_an_occlusion_changes_equals_whole_passes(
    clients: Clients, name: str, fill: str
) -> None:
    side = PREPROCESSING[name].crop
    options: dict[str, Any] = {"window": side // 3, "stride": side // 6, "layer": "relu2", "fill": fill}
    full = clients[0].occlude(PHOTOS[0], model=name, method="full", tensors=True, **options)
    for client in clients:
        answer = client.occlude(PHOTOS[0], model=name, tensors=True, **options)
        assert_equal(answer.map, full.map)
        assert answer.classes[0].values == pytest.approx(full.classes[0].values, rel=1e-3, abs=1e-5)
    assert full.map.projection is not None
    assert full.map.projection.shape == planes_of(name)


def test_windows_fit_the_input_unless_they_are_named(clients: Clients) -> None:
    for client in clients:
        answer = client.occlude(PHOTOS[0], model="grey-28", layer="relu2", tensors=True)
        assert answer.windows == 25**2  # windows of 4 pixels, every pixel
        assert answer.positions is not None
        assert answer.positions[:, 2:].tolist() == [[4, 4]] * 625


def test_an_occluded_window_holds_the_fill_in_grey(clients: Clients, model: Model, name: str) -> None:
    """The value of one window that covers the crop is that of an image of the fill."""
    planes, fill = np.zeros((60, 80, 3), np.uint8), (255, 128, 0)
    planes[:] = fill
    expected = network_scores(model, prepare(planes, model.preprocessing).pixels)[0]
    side = model.preprocessing.crop
    options: dict[str, Any] = {"window": side, "stride": side, "layer": "relu2", "value": "logit"}
    labels = [label.name for label in model.labels]
    for client in clients:
        answer = client.occlude(
            PHOTOS[0], model=name, fill="#ff8000", classes=labels, tensors=True, **options
        )
        values = [each.values[0] for each in answer.classes if each.values is not None]
        assert values == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_strongest_photos_are_found_and_projected(
    clients: Clients, name: str, model: Model, folders: tuple[Path, Path]
) -> None:
    local, remote = (
        client.top_k(layer="conv2", model=name, tensors=True, control=True) for client in clients
    )
    assert_equal(remote, local)
    assert local.projections is not None
    assert local.patches is not None
    assert local.projections.shape[2] == planes_of(name)[0]
    assert {record.state for each in local.maps for record in each.records} <= {"ok", "silent"}
    assert is_grey(local.picture) == (planes_of(name)[0] == 1)
    record = local.maps[0].records[0]
    image = expected_input((folders[1] / record.path).read_bytes(), PREPROCESSING[name])
    outputs = trace(model.network, torch.from_numpy(image[None])).outputs["conv2"]
    assert record.value == pytest.approx(float(outputs[0, local.maps[0].map].max()), rel=1e-3)


def test_maps_evolve(clients: Clients, name: str) -> None:
    local, remote = (client.evolve(layer="conv2", model=name, tensors=True) for client in clients)
    assert_equal(remote, local)
    assert local.projections is not None
    assert local.projections.shape[:3] == (6, 2, planes_of(name)[0])
    assert [each.maps for each in local.settling] == [each.maps for each in remote.settling]


def test_features_follow_transformations(clients: Clients, name: str) -> None:
    side = PREPROCESSING[name].crop
    options: dict[str, Any] = {
        "translations_px": [-side / 4, 0, side / 4 + 0.5],
        "scales": [0.7, 1.5],
        "rotations_deg": [0, 30],
        "layers": ["conv1", "relu2"],
    }
    local = clients[0].measure_invariance(PHOTOS[:1], model=name, **options)
    remote = clients[1].measure_invariance(PHOTOS[:1], model=name, pictures=False, **options)
    assert local.picture is not None
    for one, other in zip(local.photos[0].curves, remote.photos[0].curves, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, rel=1e-3)
        for mine, sent in zip(one.layers, other.layers, strict=True):
            assert mine.distances == pytest.approx(sent.distances, rel=1e-3, abs=1e-3)
    vertical = local.photos[0].curves[0]
    assert vertical.layers[0].distances[1] == 0
    assert min(vertical.layers[0].distances[0], vertical.layers[0].distances[2]) > 0


def test_parts_correspond(clients: Clients, name: str) -> None:
    options: dict[str, Any] = {"layers": ["relu1", "relu2"], "random": 2}
    local, remote = (client.correspond(PHOTOS, PARTS, model=name, **options) for client in clients)
    assert [each.part for each in local.rows] == [each.part for each in remote.rows]
    for one, other in zip(local.rows, remote.rows, strict=True):
        assert one.mean == pytest.approx(other.mean, abs=1e-3)


def test_architectures_of_one_input_size_are_compared(clients: Clients) -> None:
    for client in clients:
        answer = client.compare_architectures(["grey-96", "bgr-96"], PHOTOS, tensors=True)
        assert answer.tensors["grey-96-1-filters"].shape[1] == 1
        assert answer.tensors["bgr-96-1-filters"].shape[1] == 3
        assert answer.picture is not None
        with pytest.raises(InputError, match=r"reads 28 x 28 pixels, .* name models of one input size"):
            client.compare_architectures(["grey-28", "grey-96"], PHOTOS)


def test_a_gallery_shows_every_map(name: str, folders: tuple[Path, Path], tmp_path: Path) -> None:
    store, photos = folders
    arguments = ["gallery", photos, "--model", name, "--store", store, "--layers", "conv2", "--out", tmp_path]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    (tiles,) = (tmp_path / "conv2").glob("0-projections.*")
    colours = np.asarray(Image.open(tiles).convert("RGB"))
    assert bool((colours == colours[..., :1]).all()) == (planes_of(name)[0] == 1)


def test_onnx_runtime_finds_the_same_photos(
    name: str, model: Model, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    store, photos = folders
    arguments = ["index", photos, "--model", name, "--store", store, "--layers", "conv2", "--out", tmp_path]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    expected = open_index(model, "photos")
    found = open_index(model, "photos", folder=tmp_path)
    for number in range(6):
        values = [record.value for record in expected.records("conv2", number)]
        assert [record.value for record in found.records("conv2", number)] == pytest.approx(values, rel=1e-3)


def test_accuracy_is_measured(name: str, model: Model, folders: tuple[Path, Path], tmp_path: Path) -> None:
    for number, label in enumerate(model.labels):
        (tmp_path / label.id).mkdir()
        (tmp_path / label.id / "photo.png").write_bytes(PHOTOS[number])
    arguments = ["evaluate", tmp_path, "--model", name, "--store", folders[0], "--json"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    inputs = np.stack([expected_input(photo, PREPROCESSING[name]) for photo in PHOTOS])
    correct = network_scores(model, inputs).argmax(axis=1) == np.arange(3)
    assert json.loads(result.stdout)["top1"] == pytest.approx(100 * correct.mean(), abs=0.01)


def test_clients_of_the_open_inference_protocol_send_one_channel(
    address: str, model: Model, name: str
) -> None:
    planes = planes_of(name)
    pixels = np.random.default_rng(4).normal(0, 1, (2, *planes)).astype(np.float32)
    with grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name=name), timeout=60)
        assert list(metadata.inputs[0].shape) == [-1, *planes]
        outputs = raw_outputs(stub.ModelInfer(raw_tensors(pixels, model_name=name), timeout=60))
        np.testing.assert_allclose(outputs["logits"], network_scores(model, pixels), rtol=1e-3, atol=1e-3)
        sent = raw_photos(PHOTOS[0], model_name=name, outputs=requested_outputs("logits", "conv2"))
        outputs = raw_outputs(stub.ModelInfer(sent, timeout=60))
        expected = expected_input(PHOTOS[0], PREPROCESSING[name])[None]
        np.testing.assert_allclose(outputs["logits"], network_scores(model, expected), rtol=1e-3, atol=1e-3)
        sent = raw_photos(
            PHOTOS[0], model_name=f"{name}/project", parameters=parameters(layer="conv2", top=2)
        )
        assert [output.name for output in stub.ModelInfer(sent, timeout=60).outputs] == [
            "pictures",
            "analysis",
        ]
