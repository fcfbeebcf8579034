"""Small networks in the forms of networks that were imported from ONNX, whatever their kinds of layers."""

from pathlib import Path

import numpy as np
import torch

from zfscope.images.preprocess import Preprocessing
from zfscope.networks import build
from zfscope.networks.layer import Layer
from zfscope.networks.layers import (
    Activation,
    Add,
    AvgPool,
    Clip,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Multiply,
    ReLU,
    Scale,
)
from zfscope.networks.spec import NetworkSpec, shapes
from zfscope.networks.windows import Padding
from zfscope.store import Label, Manifest, Model, ModelStore, Provenance, write_model

SIZE = 32
COLOURS = Preprocessing(
    short_side=36, centre=36, crop=SIZE, mean=(120.0, 110.0, 100.0), std=(60, 60, 60), interpolation="bicubic"
)
_SAME = Padding(1, 1, 1, 1)
_STEM: tuple[Layer, ...] = (
    Conv(name="stem.conv", channels=8, kernel=3, stride=2, padding=_SAME),
    ReLU(name="stem.relu"),
)
_GLOBAL: tuple[Layer, ...] = (AvgPool(name="pool", kernel=8), Flatten(name="flatten"))


def _spec(name: str, *layers: Layer, channels: int = 3) -> NetworkSpec:
    return NetworkSpec(name=name, input_channels=channels, input_size=SIZE, layers=layers)


def residual(*, channels: int = 3, classes: int = 5) -> NetworkSpec:
    """A residual network with groups, and a batch normalisation that was left as a scale."""
    return _spec(
        "residual",
        *_STEM,
        Conv(name="block.conv1", channels=8, kernel=3, stride=2, padding=_SAME, groups=2, bias=False),
        Scale(name="block.norm"),
        ReLU(name="block.relu"),
        Conv(name="block.conv2", channels=8, kernel=3, padding=_SAME, groups=8),
        Conv(name="block.shortcut", inputs=("stem.relu",), channels=8, kernel=1, stride=2),
        Add(name="block.sum", inputs=("block.conv2", "block.shortcut")),
        ReLU(name="block.out"),
        *_GLOBAL,
        Linear(name="fc", units=classes),
        channels=channels,
    )


def squeeze_and_excitation(*, classes: int = 5) -> NetworkSpec:
    """Depthwise convolutions, clipping, squeeze-and-excitation, and a residual sum."""
    return _spec(
        "excited",
        Conv(name="stem.conv", channels=8, kernel=3, stride=4, padding=_SAME),
        Clip(name="stem.clip"),
        Conv(name="depthwise", channels=8, kernel=3, padding=_SAME, groups=8),
        Clip(name="depthwise.clip"),
        AvgPool(name="se.pool", kernel=8),
        Conv(name="se.reduce", channels=4, kernel=1),
        ReLU(name="se.relu"),
        Conv(name="se.expand", channels=8, kernel=1),
        Activation(name="se.gate", function="hard_sigmoid", alpha=1 / 6, beta=0.5),
        Multiply(name="se", inputs=("depthwise.clip", "se.gate")),
        Conv(name="project", channels=8, kernel=1),
        Add(name="sum", inputs=("project", "stem.clip")),
        *_GLOBAL,
        Linear(name="classifier", units=classes),
    )


def squeezenet_like(*, classes: int = 5) -> NetworkSpec:
    """A network whose scores are the means of the last convolution's rectified maps."""
    return _spec(
        "squeezed",
        *_STEM,
        MaxPool(name="peaks", kernel=3, stride=2, rounding="ceil"),
        Conv(name="output.conv", channels=classes, kernel=1),
        ReLU(name="output.relu"),
        *_GLOBAL,
    )


def scores_after_pooling(*, classes: int = 5) -> NetworkSpec:
    """A network whose last convolution reads maps of one position, as pytorchcv's mobilenetv2."""
    return _spec(
        "convolved",
        *_STEM,
        MaxPool(name="peaks", kernel=2, stride=2),
        AvgPool(name="pool", kernel=8),
        Conv(name="output", channels=classes, kernel=1, bias=False),
        Flatten(name="flatten"),
    )


def without_classes() -> NetworkSpec:
    """A network that ends in feature maps; the name that a new layer would get is in use."""
    return _spec("headless", *_STEM, MaxPool(name="pool", kernel=2, stride=2))


def add_model(
    store: Path, spec: NetworkSpec, preprocessing: Preprocessing = COLOURS, *, seed: int = 0
) -> Model:
    """Write a model with random weights to a store, and load it."""
    network = build(spec, generator=torch.Generator().manual_seed(seed))
    last = shapes(spec)[spec.scores]
    labels = tuple(Label(id=f"c{i}", name=f"class {i}") for i in range(last[0])) if len(last) == 1 else ()
    mean = np.full((3, 36, 36), 110, np.float32) if preprocessing.mean == "image" else None
    manifest = Manifest(
        name=spec.name,
        version=1,
        summary="for tests",
        network=spec,
        preprocessing=preprocessing,
        preprocessing_assumed=True,
        labels=labels,
        provenance=Provenance(source="a test", licence="MIT"),
    )
    write_model(store, manifest, network, mean_image=mean)
    return ModelStore(store).load(spec.name)
