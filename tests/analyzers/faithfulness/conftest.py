"""A network whose class score is linear in the pixels, and contexts in which to measure it."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.run import read_params, run
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Flatten, Linear
from zfscope.runtimes import create_runtime
from zfscope.store import Label, Manifest, Model, Provenance, Weights
from zfscope_analyzers.faithfulness import Faithfulness

MakeContext = Callable[..., Context]


@pytest.fixture
def linear() -> MakeContext:
    """Returns a context of a photo and a network whose score of `first` is the weighted sum of its pixels.

    weights: (H, W), of each channel. photo: uint8 (H, W), grey. Grey (128) counts as 0, one level as 1.
    """

    def make(weights: NDArray[Any], *photos: NDArray[Any]) -> Context:
        side = len(weights)
        spec = NetworkSpec(
            name="linear",
            input_size=side,
            layers=(Flatten(name="flatten"), Linear(name="scores", units=2)),
        )
        network = build(spec, generator=torch.Generator()).requires_grad_(False)
        scores = network.layers.find("scores")
        scores.weight.data.zero_()
        scores.bias.data.zero_()
        scores.weight.data[0] = torch.tensor(np.stack([weights] * 3).ravel() / 3, dtype=torch.float32)
        steps = Preprocessing(short_side=side, centre=side, crop=side, mean=(128, 128, 128), std=(1, 1, 1))
        manifest = Manifest(
            name="linear",
            version=1,
            summary="Made up",
            network=spec,
            preprocessing=steps,
            labels=(Label(id="n0", name="first"), Label(id="n1", name="second")),
            provenance=Provenance(source="made up in a test"),
        )
        model = Model(manifest, Weights.from_network(network))
        images = tuple(prepare(np.repeat(photo[..., None], 3, 2).astype(np.uint8), steps) for photo in photos)
        return Context(model, create_runtime("torch", model), images, pictures=False, tensors=True)

    return make


def npy(values: Any) -> bytes:
    """Return an array as the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, np.asarray(values))
    return file.getvalue()


def measure(context: Context, **parameters: Any) -> Analysis:
    """Run the analyzer as zfscope does, which also validates the result."""
    analyzer = Faithfulness()
    return run(analyzer, context, read_params(analyzer, parameters))
