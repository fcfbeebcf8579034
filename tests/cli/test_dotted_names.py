"""Layer names with dots, as in torch: all commands return the same as with plain names."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.cli.conftest import serving
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layer import Layer
from zfscope.networks.layers import Add, Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.networks.windows import Padding
from zfscope.store import ModelStore

Run = Callable[..., Any]

# One layer's name starts with that of another, and `keys` is a method of torch's modules.
NAMES = {
    "stem": "features.0",
    "active": "features.0.relu",
    "pool": "keys",
    "one": "layer1.0.conv1",
    "other": "layer1.0.conv1.again",
    "sum": "layer1.0",
    "rectified": "layer1.0-relu",
    "flat": "flat.ten",
    "scores": "classifier.6",
}


def spec_of(names: Mapping[str, str]) -> NetworkSpec:
    same = Padding(1, 1, 1, 1)
    layers: tuple[Layer, ...] = (
        Conv(name=names["stem"], channels=4, kernel=5, stride=2),
        ReLU(name=names["active"]),
        MaxPool(name=names["pool"], kernel=2, stride=2),
        Conv(name=names["one"], channels=4, kernel=3, padding=same),
        Conv(name=names["other"], inputs=(names["pool"],), channels=4, kernel=1),
        Add(name=names["sum"], inputs=(names["one"], names["other"])),
        ReLU(name=names["rectified"]),
        Flatten(name=names["flat"]),
        Linear(name=names["scores"], units=4),
    )
    return NetworkSpec(name="net", input_size=32, layers=layers)


DOTTED = spec_of(NAMES)
PLAIN = spec_of({name: dotted.replace(".", "_") for name, dotted in NAMES.items()})


def as_plain(text: str) -> Any:
    """Parse JSON after replacing the layer names by those of the plain network."""
    for name in sorted(NAMES.values(), key=len, reverse=True):
        text = text.replace(f'"{name}"', f'"{name.replace(".", "_")}"')
    return json.loads(text)


def checkpoint(path: Path, spec: NetworkSpec) -> Path:
    network = build(spec, generator=torch.Generator().manual_seed(9)).requires_grad_(False)
    tensors = {
        f"{name}.{part}": tensor.contiguous()
        for name, filters in network.filters.items()
        if name in spec.convolutions
        for part, tensor in filters.state_dict().items()
    }
    save_file(tensors, path)
    return path


@pytest.fixture
def stores(tmp_path: Path, write: Callable[..., Path]) -> Mapping[str, Path]:
    """Stores with the same weights and checkpoint under dotted and plain names."""
    for kind, spec in (("dotted", DOTTED), ("plain", PLAIN)):
        early = checkpoint(tmp_path / f"{kind}.safetensors", spec)
        write(tmp_path / kind, 2, network=spec, checkpoints={1: early})
    return {"dotted": tmp_path / "dotted", "plain": tmp_path / "plain"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "ant").mkdir(parents=True)
    for number in range(5):
        drawn = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        photo = Image.fromarray(drawn).resize((60, 48), Image.Resampling.BICUBIC)
        photo.save(tmp_path / "photos" / "ant" / f"{number}.png")
    return tmp_path / "photos"


def layer_of(kind: str) -> str:
    return NAMES["other"] if kind == "dotted" else NAMES["other"].replace(".", "_")


def run_on_both(
    run: Run, stores: Mapping[str, Path], tmp_path: Path, *arguments: object, layer: str = "--layer"
) -> Any:
    """Run a command on a layer of both models; return the results, with plain names, and the pictures."""
    results = []
    for kind in ("dotted", "plain"):
        out = tmp_path / f"out-{kind}"
        result = run(*arguments, layer, layer_of(kind), "--store", stores[kind], "--out", out, "--json")
        assert result.code == 0, result.stderr
        text = result.stdout.replace(str(out), "OUT").replace(str(stores[kind]), "STORE")
        results.append((as_plain(text), {path.name for path in out.rglob("*.png")}))
    return results


def test_a_state_dict_has_the_names_and_can_be_loaded() -> None:
    network = build(DOTTED, generator=torch.Generator().manual_seed(0))
    state = network.layers.state_dict()
    weighted = [NAMES[name] for name in ("stem", "one", "other", "scores")]
    assert list(state) == [f"{name}.{part}" for name in weighted for part in ("weight", "bias")]
    other = Network(DOTTED)
    other.layers.load_state_dict(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in other.layers.state_dict().items())


@pytest.mark.parametrize("change", [{"features.0.bias": None}, {"features.0.bias": torch.zeros(5)}])
def test_weights_that_do_not_fit_the_layers_are_rejected(change: Mapping[str, Any]) -> None:
    network = Network(DOTTED)
    state = {**network.layers.state_dict(), **change}
    with pytest.raises(RuntimeError, match="weights have shapes"):
        network.layers.load_state_dict({name: tensor for name, tensor in state.items() if tensor is not None})


def test_a_store_preserves_the_weights(stores: Mapping[str, Path]) -> None:
    models = [ModelStore(stores[kind]).load("tiny") for kind in ("dotted", "plain")]
    dotted, plain = (model.network.layers.state_dict().values() for model in models)
    assert all(torch.equal(one, other) for one, other in zip(dotted, plain, strict=True))


def test_a_layer_can_be_projected(run: Run, stores: Mapping[str, Path], photo: Path, tmp_path: Path) -> None:
    dotted, plain = run_on_both(run, stores, tmp_path, "project", photo, "--top", 2)
    assert dotted == plain
    assert dotted[1]


def test_a_layer_can_be_occluded(run: Run, stores: Mapping[str, Path], photo: Path, tmp_path: Path) -> None:
    dotted, plain = run_on_both(run, stores, tmp_path, "analyze", "occlude", photo)
    assert dotted == plain
    assert dotted[1]


def test_an_index_can_be_built_and_displayed(
    run: Run, stores: Mapping[str, Path], photos: Path, tmp_path: Path
) -> None:
    for kind, store in stores.items():
        assert run("index", photos, "--layers", layer_of(kind), "--store", store, "--json").code == 0
    dotted, plain = run_on_both(run, stores, tmp_path, "top-k", "--maps", "1,2")
    assert dotted == plain
    assert dotted[1]


def test_checkpoints_can_be_indexed_and_displayed(
    run: Run, stores: Mapping[str, Path], photos: Path, tmp_path: Path
) -> None:
    dotted, plain = run_on_both(run, stores, tmp_path, "evolve", photos, "--maps", "1,2")
    assert dotted == plain
    assert [row["epoch"] for row in dotted[0]["tables"]["evolution"]] == [1, None] * 2


def test_a_gallery_has_a_folder_for_the_layer(
    run: Run, stores: Mapping[str, Path], photos: Path, tmp_path: Path
) -> None:
    run_on_both(run, stores, tmp_path, "gallery", photos, layer="--layers")
    pages = [
        {path.name for path in (tmp_path / f"out-{kind}" / layer_of(kind)).iterdir()}
        for kind in ("dotted", "plain")
    ]
    assert pages[0] == pages[1]
    assert "index.html" in pages[0]


def test_classifications_and_descriptions_are_the_same(
    run: Run, stores: Mapping[str, Path], photo: Path
) -> None:
    for command in (("classify", photo), ("models", "tiny")):
        dotted, plain = (
            as_plain(run(*command, "--store", stores[kind], "--json").stdout) for kind in ("dotted", "plain")
        )
        assert dotted == plain


def test_an_exported_graph_has_the_layer_as_an_output(
    run: Run, stores: Mapping[str, Path], tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    images, outputs = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32), []
    for kind, store in stores.items():
        out, layer = tmp_path / f"{kind}.onnx", layer_of(kind)
        command = ("models", "export", "tiny", "--format", "onnx", "--layers", layer, "--out", out)
        assert run(*command, "--store", store).code == 0
        outputs.append(onnxruntime.InferenceSession(str(out)).run([layer], {"input": images})[0])
    assert np.array_equal(*outputs)


def test_a_service_can_project_the_layer(
    run: Run, stores: Mapping[str, Path], photo: Path, tmp_path: Path
) -> None:
    options = ("--layer", layer_of("dotted"), "--top", 2, "--json", "--out", tmp_path / "out")
    with serving(stores["dotted"], tmp_path / "cache") as server:
        remote = json.loads(run("project", photo, *options, "--server", server).stdout)
    local = json.loads(run("project", photo, *options, "--store", stores["dotted"]).stdout)
    assert [each["map"] for each in remote["projections"]] == [each["map"] for each in local["projections"]]
    assert {each["layer"] for each in remote["projections"]} == {layer_of("dotted")}
