"""Triton's own client against a service, in a separate virtual environment.

The client may require other versions of protobuf and grpcio than the tests use.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.server.conftest import RunningService
from tests.support.numeric import assert_close
from zfscope.client import Client
from zfscope.store import ModelStore

pytestmark = pytest.mark.network

HERE = Path(__file__).parent
SERVICE = HERE.parents[2] / "service"
REQUIREMENT = "tritonclient[grpc]>=2.73"  # without a bound, pip may install a version of 2023
UNREACHABLE = ("No matching distribution", "Temporary failure", "Connection", "Max retries", "ProxyError")


def clean_environment() -> dict[str, str]:
    """Return the environment without PYTHONPATH, whose packages pip would consider installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new virtual environment with the client installed."""
    home = tmp_path_factory.mktemp("triton")
    venv.create(home, symlinks=True)
    interpreter = home / "bin" / "python"
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--only-binary=:all:", "--no-compile"]
    process = subprocess.run(
        [sys.executable, "-m", "pip", "--python", interpreter, "install", *options, REQUIREMENT],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode and any(text in process.stderr for text in UNREACHABLE):
        pytest.skip(f"no reachable package index has {REQUIREMENT}: {process.stderr[-300:]}")
    assert process.returncode == 0, process.stderr
    return interpreter


@pytest.fixture(scope="module")
def run(python: Path) -> Callable[..., str]:
    """Return a function that runs a program of this folder in that environment and returns its stdout."""

    def run(program: str, *arguments: object, **environment: str) -> str:
        command = [python, HERE / program, *map(str, arguments)]
        process = subprocess.run(
            command,
            env=clean_environment() | environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run


@pytest.fixture
def results(run: Callable[..., str], service: RunningService, photo: bytes, tmp_path: Path) -> Path:
    """The folder of the results that the client received from a service."""
    (tmp_path / "photo.png").write_bytes(photo)
    run("with_tritonclient.py", service.address, tmp_path / "photo.png", tmp_path)
    return tmp_path


def test_the_stock_client_can_use_models_and_analyzers(
    results: Path, client: Client, store: Path, photo: bytes
) -> None:
    responses: dict[str, Any] = json.loads((results / "responses.json").read_text())
    arrays = np.load(results / "arrays.npz")

    assert (responses["live"], responses["ready"]) == (True, True)
    assert responses["models"] == {"tiny": True, "tiny/project": True, "huge": False}
    assert responses["server"]["name"] == "zfscope"
    assert responses["metadata"]["inputs"] == [
        {"name": "input", "datatype": "FP32", "shape": ["-1", "3", "32", "32"]}
    ]
    assert responses["metadata"]["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": ["-1", "4"]}]
    (model_input,) = responses["config"]["config"]["input"]
    assert (model_input["format"], model_input["data_type"], model_input["dims"]) == (
        "FORMAT_NCHW",
        "TYPE_FP32",
        ["3", "32", "32"],
    )
    assert [output["name"] for output in responses["analyzer"]["outputs"]] == ["pictures", "analysis"]

    (statistics,) = responses["statistics"]["model_stats"]
    assert int(statistics["inference_stats"]["success"]["count"]) >= 3
    assert {(each["name"], each["version"], each["state"]) for each in responses["index"]["models"]} == {
        ("other", "1", "READY"),
        ("tiny", "1", "READY"),
        ("tiny", "2", "READY"),
    }

    with torch.inference_mode():
        scores = ModelStore(store).load("tiny").network(torch.from_numpy(arrays["pixels"]))
    assert_close(arrays["logits"], scores.numpy())
    assert_close(arrays["probabilities"], scores.softmax(1).numpy())
    assert arrays["relu5"].shape == (3, 12, 7, 7)
    classes = client.classify(photo, top=2).classes
    assert arrays["photo_logits"].max() == pytest.approx(classes[0].logit, abs=1e-5)
    top_classes = [text.decode().split(":") for text in arrays["classes"][0]]
    assert [label for *_, label in top_classes] == [score.label for score in classes]

    expected = client.analyze(
        "project", [photo], {"layer": "conv5", "units": [{"map": 3}], "control": True}
    ).analysis
    assert responses["analysis"]["numbers"] == expected.numbers
    for index, picture in enumerate(expected.pictures):
        assert (results / f"picture-{index}.png").read_bytes() == picture.png
    status, message = responses["error"]
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert "shape [3, 3, 31, 32] of 'input' is invalid; expected [images, 3, 32, 32]" in message
    assert responses["no model"][0] == "StatusCode.NOT_FOUND"


def test_its_stubs_and_ours_agree_and_can_be_loaded_together(run: Callable[..., str]) -> None:
    comparison = json.loads(run("with_both_stubs.py", PYTHONPATH=str(SERVICE)))

    assert comparison["differences"] == []
    assert {"inference.ModelInferRequest.InferInputTensor", "inference.ModelConfig"} < set(
        comparison["compared"]
    )
    assert comparison["crossed"] == 3
