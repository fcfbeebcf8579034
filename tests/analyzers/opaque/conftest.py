"""Opaque models, each with a context for one photo, and a way to analyze it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.analyzers.conftest import blobs
from tests.support.opaque_models import NAMES, add_opaque_model
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params, run
from zfscope.images.preprocess import prepare
from zfscope.networks.spec import shapes
from zfscope.runtimes import create_runtime
from zfscope.store import Model, ModelStore

ANALYZERS = load_analyzers()
REASON = r"is an opaque graph, not a list of layers \(\w+ '"


@pytest.fixture(scope="session", params=NAMES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return add_opaque_model(tmp_path_factory.mktemp("opaque"), request.param)


@pytest.fixture
def context(model: Model) -> Context:
    """A context of one photo, of which the model sees 32 x 32 pixels, with tensors and without pictures."""
    return context_of(model, blobs(7))


def context_of(model: Model, *photos: NDArray[np.uint8]) -> Context:
    assert model.folder is not None
    images = tuple(prepare(photo, model.preprocessing) for photo in photos)
    store = ModelStore(model.folder.parent.parent)
    runtime = create_runtime("onnx", model, threads=1)
    return Context(model, runtime, images, store=store, pictures=False, tensors=True)


class _NoPasses:
    """A runtime that fails if anything runs."""

    name, title, precision = "onnx", "onnx", "float32"

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was used")


def without_passes(context: Context) -> Context:
    return replace(context, runtime=_NoPasses())


def analyze(name: str, context: Context, **parameters: Any) -> Analysis:
    """Run an analyzer as zfscope does, which also validates the result."""
    analyzer = ANALYZERS.analyzer(name)
    return run(analyzer, context, read_params(analyzer, parameters))


def unscaled_photos(count: int) -> list[NDArray[np.uint8]]:
    """Return photos of 36 x 36 pixels; models see the central 32 x 32 without resampling."""
    return [np.random.default_rng(seed).integers(0, 256, (36, 36, 3), np.uint8) for seed in range(count)]


def maps_layer(model: Model) -> str:
    """Return the last layer with maps of more than one unit."""
    known = shapes(model.spec)
    names = [each.name for each in model.spec.layers if len(known[each.name]) == 3]
    return [name for name in names if max(known[name][1:]) > 1][-1]


def softmax_by_hand(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    powers = np.exp(scores.astype(np.float64))
    return np.asarray(powers / powers.sum(-1, keepdims=True))
