"""Small networks with seeded weights, in zfscope and in plain torch, and a context of a request."""

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.run import read_params, run
from zfscope.images.preprocess import Preprocessing, prepare_tensor
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import (
    Activation,
    Add,
    Conv,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    ReLU,
)
from zfscope.networks.windows import Padding
from zfscope.runtimes import create_runtime
from zfscope.store import Label, Manifest, Model, Provenance, Weights

LABELS = ("ant", "bee", "cat", "dog")
TINY = NetworkSpec(
    name="tiny",
    input_size=32,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        LocalResponseNorm(name="norm1", alpha=0.5),
        Conv(name="conv5", channels=12, kernel=3, padding=Padding(1, 1, 1, 1)),
        ReLU(name="relu5"),
        Flatten(name="flatten"),
        Linear(name="fc6", units=9),
        ReLU(name="relu6"),
        Dropout(name="drop6"),
        Linear(name="fc7", units=4),
    ),
)
# Every layer has a rule in Captum, and windows of max pooling do not overlap.
RULED = NetworkSpec(
    name="ruled",
    input_size=16,
    layers=(
        Conv(name="conv1", channels=6, kernel=3),
        Activation(name="tanh1", function="tanh"),
        MaxPool(name="pool1", kernel=2, stride=2),
        Conv(name="conv2", channels=4, kernel=3),
        Activation(name="leaky2", function="leaky_relu", alpha=0.1),
        Flatten(name="flatten"),
        Linear(name="scores", units=4),
    ),
)
BRANCHY = NetworkSpec(
    name="branchy",
    input_size=9,
    layers=(
        Conv(name="block.0.conv", channels=4, kernel=3),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, padding=Padding(1, 0, 0, 1)),
        Conv(name="straight", channels=4, kernel=1),
        Conv(name="aside", inputs=("pool1",), channels=2, kernel=1),  # leads nowhere
        Add(name="sum", inputs=("pool1", "straight")),
        Activation(name="gelu", function="gelu"),
        Flatten(name="flatten"),
        Linear(name="scores", units=3),
    ),
)


def seeded_network(spec: NetworkSpec) -> Network:
    """Build a network as a store loads it, without gradients, with nonzero biases, in float64."""
    generator = torch.Generator().manual_seed(5)
    network = build(spec, generator=generator)
    for filters in network.filters.values():
        if filters.bias is not None:
            filters.bias.data.normal_(0, 0.1, generator=generator)
    return network.double().eval().requires_grad_(False)


def torch_tiny(network: Network) -> nn.Sequential:
    """Build TINY from torch's own modules, with the same weights."""
    modules = {
        "conv1": nn.Conv2d(3, 6, 5, stride=2),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(3, stride=2, ceil_mode=True),
        "norm1": nn.LocalResponseNorm(5, alpha=0.5, k=2),
        "conv5": nn.Conv2d(6, 12, 3, padding=1),
        "relu5": nn.ReLU(),
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(12 * 7 * 7, 9),
        "relu6": nn.ReLU(),
        "fc7": nn.Linear(9, 4),
    }
    model = nn.Sequential(OrderedDict(modules)).double()
    model.load_state_dict(network.layers.state_dict())
    return model.requires_grad_(False)


def context_of(network: Network, pixels: NDArray[np.float32] | None = None) -> Context:
    """Return the context of a request for tensors only. pixels: (3, H, W), random by default."""
    size = network.spec.input_size
    steps = Preprocessing(short_side=size, centre=size, crop=size, mean=(0, 0, 0))
    labels = LABELS[: network.shapes[network.spec.scores][0]]
    manifest = Manifest(
        name=network.spec.name,
        version=1,
        summary="Made up",
        network=network.spec,
        preprocessing=steps,
        labels=tuple(Label(id=f"n{index}", name=name) for index, name in enumerate(labels)),
        provenance=Provenance(source="made up in a test"),
    )
    if pixels is None:
        pixels = np.random.default_rng(1).normal(100, 60, (3, size, size)).astype(np.float32)
    model = Model(manifest, Weights.from_network(network))
    return Context(
        model,
        create_runtime("torch", model),
        (prepare_tensor(pixels, steps),),
        pictures=False,
        tensors=True,
    )


def run_method(analyzer: Any, context: Context, **params: Any) -> Analysis:
    """Run an analyzer as zfscope does, which also validates the result."""
    return run(analyzer, context, read_params(analyzer, params))
