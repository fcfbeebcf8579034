"""A tiny model, a photo, and the contexts that analyzers are run in."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from zfscope.analysis.contract import Context
from zfscope.errors import Cancelled
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.networks import NetworkSpec, build
from zfscope.networks.spec import Conv, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.runtimes import create_runtime
from zfscope.store import Label, Manifest, Model, Provenance

SPEC = NetworkSpec(
    name="tiny",
    input_size=32,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        LocalResponseNorm(name="norm1"),
        Conv(name="conv5", channels=12, kernel=3, padding=(1, 1, 1, 1)),
        ReLU(name="relu5"),
        Flatten(name="flatten"),
        Linear(name="fc6", units=9),
        ReLU(name="relu6"),
        Linear(name="fc7", units=8),
        ReLU(name="relu7"),
        Linear(name="fc8", units=4),
    ),
)


@pytest.fixture(scope="session")
def model() -> Model:
    import torch

    network = build(SPEC, generator=torch.Generator().manual_seed(3)).eval().requires_grad_(False)
    manifest = Manifest(
        name="tiny",
        version=1,
        summary="Random weights",
        network=SPEC,
        preprocessing=Preprocessing(short_side=36, centre=36, crop=32, std=(50, 50, 50)),
        labels=tuple(
            Label(id=f"n{place}", name=name) for place, name in enumerate(("ant", "bee", "cat", "dog"))
        ),
        provenance=Provenance(source="made up in a test"),
    )
    return Model(manifest, network, None)


def blots(seed: int, width: int = 60, height: int = 48) -> "np.ndarray":
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def photo() -> "np.ndarray":
    """Random blots, uint8 (48, 60, 3), so that every map has something to see."""
    return blots(7)


@pytest.fixture
def context(model: Model, photo: "np.ndarray") -> Context:
    return Context(model, create_runtime("torch", model), (prepare(photo, model.preprocessing),))


@pytest.fixture
def with_photos() -> Callable[[Context, int], Context]:
    """Give a context so many photos: the first is `photo`, and no two are alike."""

    def make(context: Context, count: int) -> Context:
        photos = [blots(7 + number) for number in range(count)]
        steps = context.model.preprocessing
        return replace(context, images=tuple(prepare(photo, steps) for photo in photos))

    return make


@pytest.fixture
def plain_context(context: Context) -> Context:
    """Tensors are wanted, and no pictures."""
    return replace(context, pictures=False, tensors=True)


@pytest.fixture
def cancelled_context(context: Context) -> Context:
    def gone() -> None:
        raise Cancelled("the caller went away")

    return replace(context, check_cancelled=gone)
