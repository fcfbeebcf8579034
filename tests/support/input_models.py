"""Small models of one channel and of unusual input sizes, with checkpoints and indexes."""

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from tests.support.indexes import index_photos
from zfscope.images.preprocess import Preprocessing
from zfscope.images.presets import preprocessing_for
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.scan.open import epoch_index_name
from zfscope.store import Label, Manifest, ModelStore, Provenance, write_model

# By name of the model.
PREPROCESSING: dict[str, Preprocessing] = {
    "grey-28": preprocessing_for("torchvision", 28, input_channels=1, resize=28, interpolation="lanczos"),
    # 112 of 60 pixels: no pixel lies in the middle between two others, which floating point would decide.
    "grey-96": preprocessing_for("unit", 96, input_channels=1, resize=112, interpolation="nearest"),
    "bgr-96": preprocessing_for("imagenet-bgr", 96, interpolation="bicubic"),
    "rgb-299": preprocessing_for("tensorflow", 299),
}
LAYERS = ("conv1", "conv2", "scores")
EPOCH = 1


def network_of(name: str) -> NetworkSpec:
    """Return two convolutions and a classifier; strides keep the maps below 16 pixels."""
    steps = PREPROCESSING[name]
    stride = max(1, steps.crop // 24)
    return NetworkSpec(
        name=name,
        input_channels=steps.channel_count,
        input_size=steps.crop,
        layers=(
            Conv(name="conv1", channels=5, kernel=stride + 2, stride=stride),
            ReLU(name="relu1"),
            MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
            Conv(name="conv2", channels=6, kernel=3, padding=(1, 1, 1, 1)),
            ReLU(name="relu2"),
            Flatten(name="flatten"),
            Linear(name="scores", units=3),
        ),
    )


def write_models(root: Path) -> tuple[Path, Path]:
    """Write a store of all models, with an index `photos` of each and its checkpoint, and eight photos.

    Returns the folders of the store and of the photos.
    """
    store, photos = root / "models", root / "photos"
    photos.mkdir(parents=True)
    for number in range(8):
        (photos / f"{number}.png").write_bytes(photo(number))
    for name in PREPROCESSING:
        _write_model(store, name, root)
        models = ModelStore(store)
        for model, index in (
            (models.load(name), "photos"),
            (models.load_checkpoint(name, EPOCH), epoch_index_name("photos", EPOCH)),
        ):
            index_photos(model, photos, index, [layer for layer in LAYERS if layer in model.network.shapes])
    return store, photos


def photo(seed: int) -> bytes:
    """Return a PNG of coloured blobs, 80 x 60 pixels."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((80, 60), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def planes_of(name: str) -> tuple[int, int, int]:
    """Return the shape of a model's input: (channels, rows, columns)."""
    steps = PREPROCESSING[name]
    return steps.channel_count, steps.crop, steps.crop


def expected_input(file: bytes, steps: Preprocessing) -> NDArray[np.float32]:
    """Prepare a photo of 80 x 60 pixels with Pillow: (channels, rows, columns)."""
    side, margin = steps.short_side, (steps.short_side - steps.crop) // 2
    photo, resampling = Image.open(io.BytesIO(file)), Image.Resampling[steps.interpolation.upper()]
    square = photo.resize((side, side), resampling, box=(10, 0, 70, 60))
    crop = square.crop((margin, margin, margin + steps.crop, margin + steps.crop))
    colours = np.asarray(crop.convert("L" if steps.channels == "grey" else "RGB"), np.float32)
    planes = np.atleast_3d(colours).transpose(2, 0, 1)[:: -1 if steps.channels == "BGR" else 1]
    mean, std = (np.array(levels, np.float32)[:, None, None] for levels in (steps.mean, steps.std))
    return np.ascontiguousarray((planes - mean) / std, np.float32)


def _write_model(store: Path, name: str, folder: Path) -> None:
    spec, checkpoint = network_of(name), folder / f"{name}.safetensors"
    save_file(_convolutions(_random_network(spec, 1)), checkpoint)
    manifest = Manifest(
        name=name,
        version=1,
        summary=f"A network of {spec.input_channels} channels and {spec.input_size} pixels",
        network=spec,
        preprocessing=PREPROCESSING[name],
        labels=tuple(
            Label(id=f"n{index}", name=animal) for index, animal in enumerate(("ant", "bee", "cat"))
        ),
        provenance=Provenance(source="made up in a test", epochs=9),
    )
    write_model(store, manifest, _random_network(spec, 2), checkpoints={EPOCH: checkpoint})


def _random_network(spec: NetworkSpec, seed: int) -> Network:
    return build(spec, generator=torch.Generator().manual_seed(seed)).eval().requires_grad_(False)


def _convolutions(network: Network) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{part}": tensor.contiguous()
        for name, filters in network.filters.items()
        if name.startswith("conv")
        for part, tensor in filters.state_dict().items()
    }
