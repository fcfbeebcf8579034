"""Commands on an opaque model: they work, or say in one line why not, before any work."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.support.opaque_models import SIZE, add_opaque_model, reference_scores, reference_tensors
from zfscope.networks.layers import GraphTensor
from zfscope.store import Model

Run = Callable[..., Any]
REASON = r"model 'vit' version 1 is an opaque graph, not a list of layers (Concat '"


@pytest.fixture
def model(tmp_path: Path) -> Model:
    add_opaque_model(tmp_path / "opaque", "convnext")
    return add_opaque_model(tmp_path / "opaque", "vit")


@pytest.fixture
def photos(tmp_path: Path, photo: Path) -> Path:
    for name in "ab":
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        (folder / "photo.jpg").write_bytes(photo.read_bytes())
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "command",
    [
        ("project", "PHOTO", "--model", "vit"),
        ("gallery", "PHOTOS", "--model", "vit", "--out", "OUT"),
        ("compare", "PHOTO", "--models", "vit,convnext"),
        ("check-device", "--model", "vit"),
        ("models", "export", "vit", "--format", "mar", "--out", "OUT"),
        ("train", "PHOTOS", "--from", "vit", "--name", "new", "--epochs", "1", "--out", "OUT"),
        ("classify", "PHOTO", "--model", "vit", "--runtime", "torch"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_command_that_needs_layers_ends_with_the_reason(
    run: Run, model: Model, photo: Path, photos: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    values = {"PHOTO": photo, "PHOTOS": photos, "OUT": out}
    result = run(*(values.get(word, word) for word in command), "--store", tmp_path / "opaque")
    assert result.code != 0
    assert (REASON in result.stderr) or ("which only runtime 'onnx' runs" in result.stderr), result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()
    assert not (tmp_path / "opaque" / "new").exists()


def test_the_graph_is_exported_as_it_is(run: Run, model: Model, tmp_path: Path) -> None:
    out = tmp_path / "vit.onnx"
    result = run("models", "export", "vit", "--format", "onnx", "--out", out, "--store", tmp_path / "opaque")
    assert result.code == 0
    assert out.read_bytes() == model.graph


def test_layers_are_exported_as_the_tensors_of_the_graph(run: Run, model: Model, tmp_path: Path) -> None:
    out, layer = tmp_path / "vit.onnx", model.spec.by_name["blocks.0.add"]
    assert isinstance(layer, GraphTensor)
    options = ("--layers", layer.name, "--out", out, "--store", tmp_path / "opaque")
    assert run("models", "export", "vit", "--format", "onnx", *options).code == 0
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).standard_normal((3, 3, SIZE, SIZE)).astype(np.float32)
    scores, tensor = session.run(None, {session.get_inputs()[0].name: images})
    np.testing.assert_allclose(scores, reference_scores("vit", images), atol=1e-5)
    np.testing.assert_allclose(tensor, reference_tensors("vit", images, [layer.tensor])[1], atol=1e-5)


def test_a_model_is_evaluated_as_it_classifies(run: Run, model: Model, photos: Path, tmp_path: Path) -> None:
    store = ("--model", "vit", "--store", tmp_path / "opaque", "--json")
    evaluated = json.loads(run("evaluate", photos, *store).stdout)
    likeliest = json.loads(run("classify", photos / "a" / "photo.jpg", *store).stdout)["classes"][0]["id"]
    assert evaluated["images"] == 2
    assert evaluated["top1"] == (50 if likeliest in "ab" else 0)
    assert evaluated["top5"] == 100


def test_bfloat16_is_refused_with_the_reason(run: Run, model: Model, photos: Path, tmp_path: Path) -> None:
    store = ("--model", "vit", "--store", tmp_path / "opaque")
    result = run("evaluate", photos, *store, "--precision", "bfloat16")
    assert result.code != 0
    assert "is an opaque graph, which does not run in bfloat16; use float32" in result.stderr


def test_analyzers_that_cannot_run_are_marked_with_the_reason(run: Run, model: Model, tmp_path: Path) -> None:
    store = ("--model", "vit", "--store", tmp_path / "opaque")
    shown = run("analyzers", *store).stdout
    assert "project (unavailable)" in shown
    assert "occlude (unavailable)" not in shown
    assert f"Unavailable: 'project' needs a network of layers to walk; {REASON}" in shown
    listed = {
        each["name"]: each for each in json.loads(run("analyzers", *store, "--json").stdout)["analyzers"]
    }
    assert listed["project"]["needs"] == ["network"]
    assert REASON in listed["project"]["unavailable"]
    assert listed["occlude"]["unavailable"] == ""


@pytest.mark.parametrize(("name", "one_by_one"), [("vit", False), ("int8-dynamic", True)])
def test_a_description_says_that_the_graph_is_opaque(
    run: Run, tmp_path: Path, name: str, one_by_one: bool
) -> None:
    add_opaque_model(tmp_path / "opaque", name)
    shown = run("models", name, "--store", tmp_path / "opaque").stdout
    assert "Opaque graph, not a list of layers (" in shown
    assert ("; images run one by one" in shown) == one_by_one
    assert "unknown" in shown
