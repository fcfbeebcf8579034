"""`zfscope models export`: model files for other software."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.cli.conftest import SPEC
from tests.support.programs import require_module
from zfscope.engine.trace import trace
from zfscope.store import ModelStore

Run = Callable[..., Any]
IMAGES = np.random.default_rng(0).normal(0, 1, (3, 3, 32, 32)).astype(np.float32)


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture
def expected(store: Path) -> dict[str, np.ndarray]:
    """Output of every layer for IMAGES."""
    outputs = trace(ModelStore(store).load("tiny").network, torch.from_numpy(IMAGES)).outputs
    return {name: values.numpy() for name, values in outputs.items()}


def test_a_graph_outputs_class_scores_and_all_layers_for_any_batch_size(
    run: Run, tmp_path: Path, expected: dict[str, np.ndarray]
) -> None:
    out = tmp_path / "new" / "tiny.onnx"
    printed = run("models", "export", "tiny", "--format", "onnx", "--out", out).stdout
    assert (
        printed
        == f"Model written to {out}; see the preprocessing of its images with: zfscope models tiny --json\n"
    )
    graph = session(out)
    names = [output.name for output in graph.get_outputs()]
    assert names[0] == "fc6"
    assert set(names) == {layer.name for layer in SPEC.layers}
    for count in (1, 3):
        for name, values in zip(names, graph.run(None, {"input": IMAGES[:count]}), strict=True):
            np.testing.assert_allclose(values, expected[name][:count], atol=1e-4, err_msg=name)


def test_a_graph_outputs_the_class_scores_and_the_requested_layers(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "tiny.onnx"
    assert (
        run("models", "export", "tiny", "--format", "onnx", "--layers", "conv5, relu1", "--out", out).code
        == 0
    )
    assert [output.name for output in session(out).get_outputs()] == ["fc6", "conv5", "relu1"]


def test_json_output_names_the_version_and_the_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = json.loads(run("models", "export", "tiny", "--version", 1, "--format", "onnx", "--json").stdout)
    assert answer == {"model": "tiny", "version": 1, "file": "tiny.onnx"}
    assert Path("tiny.onnx").is_file()


def test_a_torchserve_archive_is_written_with_settings_and_a_command_is_shown(
    run: Run, tmp_path: Path
) -> None:
    require_module("model_archiver", "pip install torch-model-archiver")
    out = tmp_path / "archives" / "tiny.mar"
    printed = run("models", "export", "tiny", "--format", "mar", "--batch-size", 3, "--out", out).stdout
    settings = out.parent / "torchserve.properties"
    assert printed == (
        f"Model written to {out}; serve it with: "
        f"torchserve --start --ncs --model-store {out.parent} --ts-config {settings}\n"
    )
    assert settings.is_file()
    with zipfile.ZipFile(out) as archive:
        assert json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]["modelVersion"] == "2"
        assert b"batchSize: 3\n" in archive.read("model-config.yaml")


@pytest.mark.parametrize("form", ["onnx", "mar"])
def test_an_existing_file_is_not_overwritten(run: Run, tmp_path: Path, form: str) -> None:
    out = tmp_path / "existing"
    out.write_text("data")
    result = run("models", "export", "tiny", "--format", form, "--out", out)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"zfscope: '{out}' already exists; choose another file with --out\n"
    assert out.read_text() == "data"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("huge",), "model 'huge' not found"),
        (("tiny", "--version", 9), "model 'tiny' has no version 9"),
        (("tiny", "--layers", "conv5,conv9"), "layer 'conv9' not found; available: conv1"),
    ],
)
def test_an_unknown_model_version_or_layer_is_reported_and_nothing_is_written(
    run: Run, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    result = run("models", "export", *arguments, "--format", "onnx", "--out", tmp_path / "out.onnx")
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert list(tmp_path.glob("*.onnx")) == []
