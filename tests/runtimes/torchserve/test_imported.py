"""An imported network in a real TorchServe, compared with ONNX Runtime on the file it was imported from."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.cli.conftest import invoke
from tests.runtimes.torchserve.test_runtime import images_of
from tests.support.numeric import assert_close
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.runtimes import create_runtime
from zfscope.runtimes.torchserve import TorchServe
from zfscope.store import Model

Array = NDArray[np.float32]


@pytest.fixture
def imported(models: Mapping[str, Model]) -> Model:
    return models["imported"]


def original_scores(file: Path, images: Array) -> Array:
    """Return the scores by ONNX Runtime for the exported file, whose batch size is 1."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (name,) = (graph_input.name for graph_input in session.get_inputs())
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def test_its_scores_are_those_of_the_original_file(
    imported: Model, torchserve: TorchServe, onnx_file: Path
) -> None:
    images = images_of(imported, 3)
    scores = create_runtime("torchserve", imported, torchserve=torchserve).forward(images)
    assert_close(scores, original_scores(onnx_file, images))


def test_classify_ranks_a_photo_by_the_scores_of_the_original_file(
    imported: Model, imported_store: Path, torchserve: TorchServe, onnx_file: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(photo)
    options = ["--model", "imported", "--runtime", "torchserve", "--torchserve", torchserve.address]
    result = invoke("classify", photo, *options, "--json", env={"ZFSCOPE_STORE": str(imported_store)})
    assert result.code == 0, result.stderr
    answered = {score["id"]: score for score in json.loads(result.stdout)["classes"]}
    (scores,) = original_scores(onnx_file, prepare(decode(photo.read_bytes()), imported.preprocessing).pixels)
    likelihoods = np.exp(scores - scores.max())
    assert_close([answered[label.id]["logit"] for label in imported.labels], scores)
    assert_close(
        [answered[label.id]["probability"] for label in imported.labels], likelihoods / likelihoods.sum()
    )
