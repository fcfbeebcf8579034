"""Small networks with seeded weights, and a context to run the analyzer on them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.run import read_params, run
from zfscope.images.preprocess import Preprocessing, prepare_tensor
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import Add, Conv, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.runtimes import create_runtime
from zfscope.store import Label, Manifest, Model, Provenance, Weights
from zfscope_gradcam import GradCam

LABELS = ("ant", "bee", "cat", "dog")
TINY = NetworkSpec(
    name="tiny",
    input_size=32,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        LocalResponseNorm(name="norm1", alpha=0.5),
        Conv(name="conv5", channels=12, kernel=3, padding=(1, 1, 1, 1)),
        ReLU(name="relu5"),
        Flatten(name="flatten"),
        Linear(name="fc6", units=9),
        ReLU(name="relu6"),
        Dropout(name="drop6"),
        Linear(name="fc7", units=4),
    ),
)
BRANCHY = NetworkSpec(
    name="branchy",
    input_size=6,
    layers=(
        Conv(name="conv1", channels=4, kernel=3),
        ReLU(name="relu1"),
        Conv(name="straight", channels=4, kernel=1),
        Conv(name="skip", inputs=("input",), channels=4, kernel=3),
        Conv(name="aside", inputs=("relu1",), channels=2, kernel=1),  # leads nowhere
        Add(name="sum", inputs=("relu1", "straight", "skip")),
        Flatten(name="flatten"),
        Linear(name="scores", units=3),
    ),
)
ON_PAPER = NetworkSpec(
    name="on-paper",
    input_size=2,
    layers=(
        Conv(name="conv5", channels=3, kernel=1),
        ReLU(name="relu5"),
        Flatten(name="flatten"),
        Linear(name="scores", units=2),
    ),
)


def seeded(spec: NetworkSpec) -> Network:
    """Build a network as a store loads it, without gradients, with nonzero biases, in float64."""
    generator = torch.Generator().manual_seed(5)
    network = build(spec, generator=generator)
    for filters in network.filters.values():
        filters.bias.data.normal_(0, 0.1, generator=generator)
    return network.double().eval().requires_grad_(False)


def context_of(network: Network, pixels: NDArray[np.float32] | None = None) -> Context:
    """Return the context of a request for tensors only. pixels: (3, H, W), random by default."""
    size = network.spec.input_size
    steps = Preprocessing(short_side=size, centre=size, crop=size, mean=(0, 0, 0))
    manifest = Manifest(
        name=network.spec.name,
        version=1,
        summary="Made up",
        network=network.spec,
        preprocessing=steps,
        labels=tuple(
            Label(id=f"n{index}", name=name)
            for index, name in enumerate(LABELS[: network.spec.layers[-1].units])
        ),
        provenance=Provenance(source="made up in a test"),
    )
    if pixels is None:
        pixels = np.random.default_rng(1).normal(0, 1, (3, size, size)).astype(np.float32)
    model = Model(manifest, Weights.from_network(network))
    return Context(
        model,
        create_runtime("torch", model),
        (prepare_tensor(pixels, steps),),
        pictures=False,
        tensors=True,
    )


def run_gradcam(context: Context, **params: Any) -> Analysis:
    """Run the analyzer as zfscope does, which also validates the result."""
    return run(GradCam(), context, read_params(GradCam(), params))
