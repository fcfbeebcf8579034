"""A tiny model, a photo, and contexts in which to run analyzers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from zfscope.analysis.contract import Context
from zfscope.errors import Cancelled
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.runtimes import create_runtime
from zfscope.scan import build_index, indexes_folder, open_data, plan_scan
from zfscope.scan.open import epoch_index_name
from zfscope.store import Label, Manifest, Model, ModelStore, Provenance, write_model

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
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model in a store, with indexes of twelve photos for its final weights and for epoch 1."""
    network = build(SPEC, generator=torch.Generator().manual_seed(3))
    early = write_checkpoint(tmp_path_factory.mktemp("early") / "1.safetensors", 40)
    root = tmp_path_factory.mktemp("store")
    write_model(root, manifest_of("tiny", SPEC), network, checkpoints={1: early})
    photos = tmp_path_factory.mktemp("photos")
    for number in range(12):
        Image.fromarray(blobs(number)).save(photos / f"{number:02}.png")
    model, checkpoint = ModelStore(root).load("tiny"), ModelStore(root).load_checkpoint("tiny", 1)
    for indexed, name in ((model, "photos"), (checkpoint, epoch_index_name("photos", 1))):
        plan = plan_scan(indexed.network.spec)
        runtime = create_runtime("torch", indexed)
        build_index(indexed, open_data(photos), plan, indexes_folder(indexed) / name, runtime=runtime)
    return model


def manifest_of(name: str, spec: NetworkSpec) -> Manifest:
    return Manifest(
        name=name,
        version=1,
        summary="Random weights",
        network=spec,
        preprocessing=Preprocessing(short_side=36, centre=36, crop=spec.input_size, std=(50, 50, 50)),
        labels=tuple(
            Label(id=f"n{index}", name=name) for index, name in enumerate(("ant", "bee", "cat", "dog"))
        ),
        provenance=Provenance(source="made up in a test"),
    )


@pytest.fixture(scope="session")
def store(model: Model) -> ModelStore:
    """The model's store, with `narrow`, a model with fewer maps, and `small`, one with a smaller input."""
    assert model.folder is not None
    root = model.folder.parent.parent
    conv1, *others = SPEC.layers
    narrow = SPEC.model_copy(update={"layers": (conv1.model_copy(update={"channels": 4}), *others)})
    small = SPEC.model_copy(update={"input_size": 28})
    for name, spec in (("narrow", narrow), ("small", small)):
        manifest = manifest_of(name, spec)
        network = build(spec, generator=torch.Generator().manual_seed(4))
        write_model(root, manifest, network)
    return ModelStore(root)


def blobs(seed: int, width: int = 60, height: int = 48) -> "np.ndarray":
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def photo() -> "np.ndarray":
    """Random blobs, uint8 (48, 60, 3), which activate every map."""
    return blobs(7)


@pytest.fixture
def context(model: Model, photo: "np.ndarray", store: ModelStore) -> Context:
    images = (prepare(photo, model.preprocessing),)
    return Context(model, create_runtime("torch", model), images, store=store)


@pytest.fixture
def with_photos() -> Callable[[Context, int], Context]:
    """Returns a context with the given number of photos, all different; the first is `photo`."""

    def make(context: Context, count: int) -> Context:
        photos = [blobs(7 + number) for number in range(count)]
        steps = context.model.preprocessing
        return replace(context, images=tuple(prepare(photo, steps) for photo in photos))

    return make


@pytest.fixture
def plain_context(context: Context) -> Context:
    """A context that requests tensors and no pictures."""
    return replace(context, pictures=False, tensors=True)


@pytest.fixture
def cancelled_context(context: Context) -> Context:
    def cancel() -> None:
        raise Cancelled("the call was cancelled")

    return replace(context, check_cancelled=cancel)


def write_checkpoint(
    path: Path, seed: int, *, dead: int | None = None, noise: float = 0, spec: NetworkSpec = SPEC
) -> Path:
    """Write the convolutional layers of a network with random weights, like a checkpoint of training.

    dead: a map of conv5 that is never active. noise: standard deviation of noise added to the weights.
    """
    network = build(spec, generator=torch.Generator().manual_seed(seed)).requires_grad_(False)
    if dead is not None:
        network.filters["conv5"].bias[dead] = -100
    noise_generator = torch.Generator().manual_seed(5)
    tensors = {
        f"{name}.{part}": tensor + noise * torch.randn(tensor.shape, generator=noise_generator)
        for name, filters in network.filters.items()
        if name.startswith("conv")
        for part, tensor in filters.state_dict().items()
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path
