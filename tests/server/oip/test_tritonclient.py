"""Triton's stock client, as pip installs it, against a service: in an environment of its own.

It asks for another protobuf and grpcio than zfscope's tests may run on.
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
REQUIREMENT = "tritonclient[grpc]>=2.73"  # unpinned, pip may settle on one of 2023
NOT_THERE = ("No matching distribution", "Temporary failure", "Connection", "Max retries", "ProxyError")


def outside() -> dict[str, str]:
    """Give the environment without what leads to other packages, which pip would take for installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the client in it."""
    home = tmp_path_factory.mktemp("triton")
    venv.create(home, symlinks=True)
    found = home / "bin" / "python"
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--only-binary=:all:", "--no-compile"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", found, "install", *options, REQUIREMENT],
        env=outside(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and any(words in done.stderr for words in NOT_THERE):
        pytest.skip(f"no index that is reachable from here has {REQUIREMENT}: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture(scope="module")
def run(python: Path) -> Callable[..., str]:
    """Runs a program of this folder in that environment; gives stdout."""

    def run(program: str, *words: object, **environment: str) -> str:
        command = [python, HERE / program, *map(str, words)]
        done = subprocess.run(
            command, env=outside() | environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def looked(run: Callable[..., str], service: RunningService, photo: bytes, tmp_path: Path) -> Path:
    """The folder of what the client saw of a service."""
    (tmp_path / "photo.png").write_bytes(photo)
    run("with_tritonclient.py", service.address, tmp_path / "photo.png", tmp_path)
    return tmp_path


def test_the_stock_client_can_use_models_and_analyzers(
    looked: Path, client: Client, store: Path, photo: bytes
) -> None:
    seen: dict[str, Any] = json.loads((looked / "seen.json").read_text())
    arrays = np.load(looked / "arrays.npz")

    assert (seen["live"], seen["ready"]) == (True, True)
    assert seen["models"] == {"tiny": True, "tiny/project": True, "huge": False}
    assert seen["server"]["name"] == "zfscope"
    assert seen["metadata"]["inputs"] == [
        {"name": "input", "datatype": "FP32", "shape": ["-1", "3", "32", "32"]}
    ]
    assert seen["metadata"]["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": ["-1", "4"]}]
    (reads,) = seen["config"]["config"]["input"]
    assert (reads["format"], reads["data_type"], reads["dims"]) == (
        "FORMAT_NCHW",
        "TYPE_FP32",
        ["3", "32", "32"],
    )
    assert [found["name"] for found in seen["analyzer"]["outputs"]] == ["pictures", "analysis"]

    with torch.inference_mode():
        scores = ModelStore(store).load("tiny").network(torch.from_numpy(arrays["pixels"]))
    assert_close(arrays["logits"], scores.numpy())
    assert_close(arrays["probabilities"], scores.softmax(1).numpy())
    assert arrays["relu5"].shape == (3, 12, 7, 7)
    classes = client.classify(photo, top=2).classes
    assert arrays["photo_logits"].max() == pytest.approx(classes[0].logit, abs=1e-5)
    told = [text.decode().split(":") for text in arrays["classes"][0]]
    assert [label for *_, label in told] == [score.label for score in classes]

    expected = client.analyze(
        "project", [photo], {"layer": "conv5", "units": [{"map": 3}], "control": True}
    ).analysis
    assert seen["analysis"]["numbers"] == expected.numbers
    for place, picture in enumerate(expected.pictures):
        assert (looked / f"picture-{place}.png").read_bytes() == picture.png
    status, told = seen["error"]
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert "shape [3, 3, 31, 32] of 'input' is invalid; expected [images, 3, 32, 32]" in told
    assert seen["no model"][0] == "StatusCode.NOT_FOUND"


def test_its_stubs_and_ours_agree_and_can_be_loaded_together(run: Callable[..., str]) -> None:
    found = json.loads(run("with_both_stubs.py", PYTHONPATH=str(SERVICE)))

    assert found["differences"] == []
    assert {"inference.ModelInferRequest.InferInputTensor", "inference.ModelConfig"} < set(found["compared"])
    assert found["crossed"] == 3
