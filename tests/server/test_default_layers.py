"""Every command and RPC without a layer works on every model, and its answer names the layers it used.

The models are those of the repository and narrow ones of other architectures, whose default layers are tested
in `tests.networks.test_landmarks`.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from tests.server.conftest import RunningService, run_service
from tests.support.architectures import ARCHITECTURES, CLASSES
from zfscope import LocalClient
from zfscope.cli.app import app
from zfscope.client import Box, Client
from zfscope.client.methods import ClientMethods
from zfscope.errors import InputError
from zfscope.images.preprocess import Preprocessing
from zfscope.inference import inference_pb2 as oip
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.networks import NetworkSpec, build
from zfscope.networks.landmarks import default_layers
from zfscope.server.settings import Settings
from zfscope.store import Label, Manifest, ModelStore, Provenance, write_model

ROOT = Path(__file__).parents[2]
OURS = tuple(manifest.name for manifest in ModelStore(ROOT / "model_store").manifests())
MODELS = (*OURS, *ARCHITECTURES)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("all") / "models"
    shutil.copytree(ROOT / "model_store", folder, copy_function=os.link)
    for spec in ARCHITECTURES.values():
        _write(folder, spec)
    return folder


def _write(store: Path, spec: NetworkSpec) -> None:
    classes = CLASSES if spec.scores in ("flatten", "fc", "output.fc") else 0
    network = build(spec, generator=torch.Generator().manual_seed(3))
    manifest = Manifest(
        name=spec.name,
        version=1,
        summary="Random weights",
        network=spec,
        preprocessing=Preprocessing(short_side=40, centre=40, crop=spec.input_size, std=(50, 50, 50)),
        labels=tuple(Label(id=f"n{index}", name=f"class {index}") for index in range(classes)),
        provenance=Provenance(source="made up in a test"),
    )
    write_model(store, manifest, network)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos") / "few"
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        small = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((60, 48), Image.Resampling.BICUBIC).save(path)
    return paths


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Result]:
    """Return a function that runs a command on the store and returns its parsed JSON."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments: str | Path, **env: str) -> Any:
        words = [*map(str, arguments), "--store", str(store), "--json"]
        result = CliRunner().invoke(app, words, env={"XDG_CACHE_HOME": str(cache)})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture(scope="module")
def indexes(run: Callable[..., Any], photos: list[Path]) -> dict[str, Any]:
    """Index the photos with every model; all convolutions, by default."""
    return {name: run("index", photos[0].parent, "--model", name) for name in MODELS}


@pytest.fixture(scope="module")
def models_service(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    cache = tmp_path_factory.mktemp("graphs")
    settings = Settings(listen="127.0.0.1:0", store=store, cache=cache, threads=1, lame_duck_s=0)
    with run_service(settings) as service:
        service.warm_up()
        yield service


@pytest.fixture(scope="module")
def clients(store: Path, models_service: RunningService) -> Iterator[dict[str, ClientMethods]]:
    with LocalClient(store, runtime="torch") as local, Client(models_service.address) as remote:
        yield {"local": local, "remote": remote}


def spec_of(store: Path, name: str) -> NetworkSpec:
    return ModelStore(store).manifest(name).network


@pytest.mark.parametrize("place", ["local", "remote"])
@pytest.mark.parametrize("name", MODELS)
def test_analyses_of_photos_name_the_layers_that_they_used(
    clients: dict[str, ClientMethods], store: Path, photos: list[Path], name: str, place: str
) -> None:
    client, known = clients[place], default_layers(spec_of(store, name))
    plain: dict[str, Any] = {"model": name, "pictures": False}
    projected = client.project(photos[0], top=2, **plain)
    assert {each.layer for each in projected.projections} == {known.last_convolution}
    active = client.activations(photos[0], top=2, y=24, x=30, **plain)
    assert active.layer == known.last_convolution
    box = Box(15, 15, 40, 40)
    compared = client.correspond(photos, {"part": [box, box]}, random=0, **plain)
    assert [row.layer for row in compared.rows] == list(
        dict.fromkeys((known.lower_features, known.upper_features))
    )
    if not client.model(name).labels:
        with pytest.raises(InputError, match="no classes"):
            client.occlude(photos[0], **plain)
        return
    assert client.occlude(photos[0], boxes=[box], **plain).map.layer == known.last_activation
    measured = client.measure_invariance(photos[:1], transformations=["scale"], scales=[0.8], **plain)
    assert [each.layer for each in measured.photos[0].curves[0].layers] == [
        known.first_activation,
        known.upper_features,
    ]


@pytest.mark.usefixtures("indexes")
@pytest.mark.parametrize("place", ["local", "remote"])
@pytest.mark.parametrize("name", MODELS)
def test_the_strongest_photos_are_those_of_the_last_convolution(
    clients: dict[str, ClientMethods], store: Path, name: str, place: str
) -> None:
    answer = clients[place].top_k(model=name, count=1, pictures=False)
    assert answer.layer == default_layers(spec_of(store, name)).last_convolution


@pytest.mark.parametrize("name", MODELS)
def test_commands_without_a_layer_work(
    run: Callable[..., Any],
    indexes: dict[str, Any],
    store: Path,
    photos: list[Path],
    tmp_path: Path,
    name: str,
) -> None:
    spec, model = spec_of(store, name), ("--model", name)
    assert list(indexes[name]["layers"]) == list(spec.convolutions)
    sheet = run("project", photos[0], "--top", "1", *model, "--out", tmp_path / "a")["sheet"]
    layer = default_layers(spec).last_convolution
    assert Path(sheet).name == f"0-{layer.replace('.', '_')}.png"
    top = run("top-k", "--count", "1", *model, "--out", tmp_path / "b")
    assert {row["layer"] for row in top["tables"]["records"]} == {layer}
    assert [Path(file).name for file in top["files"]] == [f"{layer.replace('.', '_')}-top-k.png"]
    analyzed = run("analyze", "top-k", "--count", "1", *model, "--out", tmp_path / "c")
    assert [Path(file).name for file in analyzed["files"]] == [f"{layer.replace('.', '_')}-top-k.png"]
    exported = run("models", "export", name, "--format", "onnx", "--out", tmp_path / "model.onnx")
    assert Path(exported["file"]).stat().st_size > 0
    assert [each["name"] for each in run("models", name)["layers"]] == [each.name for each in spec.layers]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_gallery_shows_the_indexed_layers(
    run: Callable[..., Any], indexes: dict[str, Any], photos: list[Path], tmp_path: Path, name: str
) -> None:
    built = run("gallery", photos[0].parent, "--count", "1", "--model", name, "--out", tmp_path / "pages")
    assert list(built["layers"]) == list(indexes[name]["layers"])


def test_the_evolution_is_that_of_the_middle_convolution(
    run: Callable[..., Any], clients: dict[str, ClientMethods], photos: list[Path], tmp_path: Path
) -> None:
    name = "zfnet-imagenette"
    epoch = ModelStore(ROOT / "model_store").manifest(name).early_epochs[0]
    options = ("--epochs", str(epoch), "--count", "1", "--model", name, "--out", tmp_path)
    shown = run("evolve", photos[0].parent, *options)
    assert {row["layer"] for row in shown["tables"]["evolution"]} == {"conv3"}
    assert Path(shown["files"][0]).name == "conv3-evolution.png"
    for client in clients.values():
        answer = client.evolve(model=name, epochs=[epoch], count=1, index="few", pictures=False)
        assert answer.layer == "conv3"


def test_an_index_without_the_last_convolution_shows_its_own_last_one(
    run: Callable[..., Any], photos: list[Path], tmp_path: Path
) -> None:
    layers = ("--layers", "layer1.0.conv1,downsample.0,relu")
    options = ("--model", "residual", "--out", tmp_path / "indexes", "--name", "some")
    made = run("index", photos[0].parent, *layers, *options)
    assert list(made["layers"]) == ["relu", "layer1.0.conv1", "layer2.0.downsample.0"]
    shown = run(
        *("top-k", "--model", "residual", "--index", "some", "--count", "1"),
        *("--indexes", tmp_path / "indexes", "--out", tmp_path / "seen"),
    )
    assert {row["layer"] for row in shown["tables"]["records"]} == {"layer2.0.downsample.0"}


@pytest.mark.parametrize("place", ["local", "remote"])
def test_answers_to_a_suffix_have_the_full_name(
    clients: dict[str, ClientMethods], photos: list[Path], place: str
) -> None:
    client, full = clients[place], "layer2.0.downsample.0"
    options: dict[str, Any] = {"model": "residual", "pictures": False}
    answers = {
        client.project(photos[0], layer="downsample.0", control_down_to="0.downsample.0", **options)
        .projections[0]
        .layer,
        client.occlude(photos[0], layer="downsample.0", boxes=[Box(0, 0, 40, 40)], **options).map.layer,
        client.top_k(layer="downsample.0", count=1, **options).layer,
    }
    assert answers == {full}
    box = Box(15, 15, 40, 40)
    rows = client.correspond(photos, {"part": [box, box]}, layers=["downsample.0"], random=0, **options).rows
    assert [row.layer for row in rows] == [full]
    with pytest.raises(InputError, match=r"^layer 'conv2' is ambiguous; 3 layers end in '\.conv2'") as error:
        client.project(photos[0], layer="conv2", **options)
    assert error.value.field == "layer"


def test_outputs_of_the_open_inference_protocol_have_the_full_name(models_service: RunningService) -> None:
    image = oip.ModelInferRequest.InferInputTensor(name="input", datatype="FP32", shape=[1, 3, 32, 32])
    image.contents.fp32_contents.extend([0.5] * (3 * 32 * 32))

    def request(*names: str) -> oip.ModelInferRequest:
        outputs = [oip.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in names]
        return oip.ModelInferRequest(model_name="residual", inputs=[image], outputs=outputs)

    with grpc.insecure_channel(models_service.address) as channel:
        infer = GRPCInferenceServiceStub(channel).ModelInfer
        answer = infer(request("downsample.0", "logits"), timeout=60)
        assert [output.name for output in answer.outputs] == ["layer2.0.downsample.0", "logits"]
        for names, message in (
            (("downsample.0", "layer2.0.downsample.0"), "'layer2.0.downsample.0' is requested twice"),
            (("conv2",), "layer 'conv2' is ambiguous; 3 layers end in '.conv2'"),
            (("conv",), "output 'conv' not found; available: logits, probabilities, relu, layer1.0.add"),
        ):
            with pytest.raises(grpc.RpcError) as error:
                infer(request(*names), timeout=60)
            assert message in error.value.details()
