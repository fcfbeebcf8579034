"""One small imported network in everything that reads models: commands, exports, TorchServe, the service."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from tests.cli.conftest import invoke
from tests.server.conftest import run_service
from tests.server.oip.messages import raw_outputs, raw_tensors, requested_outputs
from tests.support.numeric import assert_close
from tests.support.onnx_exports import Excited, export, randomise
from tests.support.programs import require_module
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.runtimes.torchserve.handler import Handler
from zfscope.runtimes.torchserve.message import IMAGES, LAYERS, WEIGHTS, Message, pack, unpack
from zfscope.server.settings import Settings
from zfscope.store import Model, ModelStore

CLASSES = ("ant", "bee")
PIXELS = np.random.default_rng(0).normal(0, 1, (3, 3, 32, 32)).astype(np.float32)


class Walk(SimpleNamespace):
    """The folder of everything, the store, the photos, and the imported ONNX file."""

    root: Path
    store: Path
    photos: Path
    file: Path

    def run(self, *arguments: object) -> object:
        """Run a command with `--json` and return its answer."""
        environment = {"ZFSCOPE_STORE": str(self.store), "XDG_CACHE_HOME": str(self.root / "cache")}
        result = invoke(*arguments, "--json", env=environment)
        assert result.code == 0, result.stderr
        return json.loads(result.stdout)

    @property
    def model(self) -> Model:
        return ModelStore(self.store).load("mine")

    @property
    def last_convolution(self) -> str:
        return self.model.spec.convolutions[-1]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    root = tmp_path_factory.mktemp("imported")
    walk = Walk(root=root, store=root / "models", photos=root / "photos", file=root / "excited.onnx")
    torch.manual_seed(0)
    onnx.save(export(randomise(Excited(len(CLASSES))), "script"), walk.file)
    for number in range(6):
        drawn = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        path = walk.photos / CLASSES[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn).resize((60, 48), Image.Resampling.BICUBIC).save(path)
    (root / "labels.txt").write_text("ant\tthe ant\nbee\tthe bee\n")
    for version in (1, 2):
        options = ["--preprocessing", "torchvision", "--labels", root / "labels.txt", "--version", version]
        walk.run("models", "import", walk.file, "--name", "mine", *options)
    walk.run("index", walk.photos, "--model", "mine", "--name", "few")
    return walk


def original_scores(walk: Walk, images: np.ndarray) -> np.ndarray:
    """Return the scores by ONNX Runtime for the file that was imported, whose batch size is 1."""
    session = onnxruntime.InferenceSession(walk.file, providers=["CPUExecutionProvider"])
    (name,) = (graph_input.name for graph_input in session.get_inputs())
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def test_it_has_the_kinds_of_layers_that_this_module_is_about(walk: Walk) -> None:
    kinds = {layer.kind for layer in walk.model.spec.layers}
    assert {"conv", "clip", "multiply", "add", "avg_pool", "activation"} <= kinds
    assert any(getattr(layer, "groups", 1) == 8 for layer in walk.model.spec.layers)


def test_it_is_verified_and_described(walk: Walk) -> None:
    assert ModelStore(walk.store).verify("mine").name == "mine"
    described = walk.run("models", "mine")
    assert isinstance(described, dict)
    assert [layer["name"] for layer in described["layers"]] == [
        layer.name for layer in walk.model.spec.layers
    ]


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_it_is_indexed_by_both_runtimes(walk: Walk, runtime: str) -> None:
    out = walk.root / f"index-{runtime}"
    answer = walk.run("index", walk.photos, "--model", "mine", "--runtime", runtime, "--out", out)
    assert isinstance(answer, dict)
    assert set(answer["layers"]) == set(walk.model.spec.convolutions)


def test_the_strongest_photos_of_its_maps_are_shown(walk: Walk) -> None:
    layer, out = walk.last_convolution, walk.root / "top-k"
    options = ["--index", "few", "--maps", "0,1", "--out", out]
    answer = walk.run("top-k", "--model", "mine", "--layer", layer, *options)
    assert isinstance(answer, dict)
    assert list(out.glob("*.png"))


def test_a_gallery_of_it_is_built(walk: Walk) -> None:
    out, layer = walk.root / "gallery", walk.last_convolution
    walk.run("gallery", walk.photos, "--model", "mine", "--layers", layer, "--top", 2, "--out", out)
    assert (out / "index.html").exists()


def test_it_is_compared_with_another_version(walk: Walk) -> None:
    out = walk.root / "compared"
    answer = walk.run("compare", walk.photos, "--models", "mine:1,mine:2", "--out", out)
    assert isinstance(answer, dict)
    assert list(out.glob("*.png"))


def test_its_accuracy_is_measured(walk: Walk) -> None:
    answer = walk.run("evaluate", walk.photos, "--model", "mine")
    assert isinstance(answer, dict)
    assert (answer["images"], answer["top5"]) == (6, 100)


def test_it_is_fine_tuned(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfscope.allocator.keep_freed_memory", lambda: None)
    options = ["--name", "tuned", "--store", walk.store, "--out", walk.root / "run", "--epochs", 1]
    walk.run("train", walk.photos, "--from", "mine:2", *options)
    tuned = ModelStore(walk.store).load("tuned")
    assert tuned.manifest.provenance.tuned_from.startswith("mine:2, ")
    assert [layer.name for layer in tuned.spec.layers] == [layer.name for layer in walk.model.spec.layers]


def test_its_exported_graph_computes_the_same_as_the_imported_file(walk: Walk) -> None:
    out = walk.root / "exported.onnx"
    walk.run("models", "export", "mine", "--format", "onnx", "--out", out)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    scores, *_ = session.run(None, {"input": PIXELS})
    assert_close(scores, original_scores(walk, PIXELS))


def test_its_archive_is_served_by_the_handler(walk: Walk) -> None:
    require_module("model_archiver", "pip install torch-model-archiver")
    out, folder = walk.root / "mine.mar", walk.root / "unpacked"
    walk.run("models", "export", "mine", "--format", "mar", "--out", out)
    with zipfile.ZipFile(out) as archive:
        archive.extractall(folder)
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
    handler, layer = Handler(), walk.last_convolution
    handler.initialize(
        SimpleNamespace(manifest=manifest, system_properties={"model_dir": str(folder), "gpu_id": None})
    )
    scores = walk.model.spec.scores
    request = {
        WEIGHTS: walk.model.weights_sha256.encode(),
        IMAGES: pack(Message({IMAGES: PIXELS})),
        LAYERS: f"{scores},{layer}".encode(),
    }
    (response,) = handler.handle([request], None)
    arrays = unpack(response).arrays
    assert_close(arrays[scores], original_scores(walk, PIXELS))
    assert arrays[layer].shape == (3, 8, 8, 8)


def test_clients_of_the_open_inference_protocol_are_served(walk: Walk) -> None:
    settings = Settings(
        listen="127.0.0.1:0", store=walk.store, default_model="mine", cache=walk.root / "graphs", threads=1
    )
    layer = walk.last_convolution
    with run_service(settings) as service, grpc.insecure_channel(service.address) as channel:
        service.warm_up()
        stub = GRPCInferenceServiceStub(channel)
        metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="mine"))
        outputs = {tensor.name: list(tensor.shape) for tensor in metadata.outputs}
        answer = stub.ModelInfer(
            raw_tensors(PIXELS, model_name="mine", outputs=requested_outputs("logits", layer))
        )
    assert [list(tensor.shape) for tensor in metadata.inputs if tensor.name == "input"] == [[-1, 3, 32, 32]]
    assert outputs["logits"] == [-1, len(CLASSES)]
    scores = raw_outputs(answer)
    assert_close(scores["logits"], original_scores(walk, PIXELS))
    assert scores[layer].shape == (3, 8, 8, 8)
