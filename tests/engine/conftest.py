"""Fixtures, and an independent projection: torch's layers and autograd with a custom backward of ReLU."""

from collections.abc import Callable, Mapping, Sequence
from math import inf

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.module_projections import Rectify
from zfscope.engine import Maps, Seed, Trace, Unit, trace
from zfscope.networks import Network, NetworkSpec, build, zfnet
from zfscope.networks.layer import Layer
from zfscope.networks.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    ReLU,
)
from zfscope.networks.windows import Padding


def pad(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    left, top, right, bottom = padding
    return F.pad(x, (left, right, top, bottom), value=value)


def forward_step(  # noqa: C901  # one case per kind of layer
    network: Network, layer: Layer, inputs: Sequence[Tensor], rule: str, normalisation: str
) -> Tensor:
    x, filters = inputs[0], network.filters.get(layer.name)
    match layer:
        case Conv():
            assert filters is not None
            return F.conv2d(pad(x, layer.padding), filters.weight, filters.bias, stride=layer.stride)
        case Linear():
            assert filters is not None
            return F.linear(x, filters.weight, filters.bias)
        case ReLU():
            rectified: Tensor = Rectify.apply(x, inf, rule)  # type: ignore[no-untyped-call]  # untyped in torch
            return rectified
        case MaxPool():
            padded = pad(x, layer.padding, -torch.inf)
            return F.max_pool2d(padded, layer.kernel, layer.stride, ceil_mode=layer.rounding == "ceil")
        case AvgPool():
            return F.avg_pool2d(pad(x, layer.padding), layer.kernel, layer.stride)
        case LocalResponseNorm():
            normalised = F.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)
            return normalised if normalisation == "gradient" else x + (normalised - x).detach()
        case Flatten():
            return x.flatten(1)
        case Concat():
            return torch.cat(list(inputs), 1)
        case Add():
            return torch.stack(list(inputs)).sum(0)
        case _:
            return x


def run(network: Network, images: Tensor, rule: str, normalisation: str) -> Mapping[str, Tensor]:
    known = {"input": images}
    for layer in network.spec.layers:
        inputs = [known[name] for name in network.spec.sources[layer.name]]
        known[layer.name] = forward_step(network, layer, inputs, rule, normalisation)
    return known


def keep_seed(outputs: Tensor, seed: Seed) -> Tensor:
    """Return a layer's activations with all but those of the seed set to zero."""
    kept = torch.zeros_like(outputs)
    maps = [seed.map] if isinstance(seed, Unit) else list(seed.maps)
    if isinstance(seed, Maps) or outputs.dim() == 2:
        kept[seed.image, maps] = outputs[seed.image, maps]
    else:
        kept[seed.image, maps, seed.y, seed.x] = outputs[seed.image, maps, seed.y, seed.x]
    return kept


def project_by_autograd(
    network: Network,
    images: Tensor,
    layer: str,
    seeds: Sequence[Seed],
    *,
    rule: str = "deconvnet",
    normalisation: str = "skip",
) -> Tensor:
    images = images.clone().requires_grad_()
    outputs = run(network, images, rule, normalisation)[layer]
    projections = []
    for seed in seeds:
        start = keep_seed(outputs.detach(), seed)
        (gradient,) = torch.autograd.grad(outputs, images, start, retain_graph=True)
        projections.append(gradient[seed.image])
    return torch.stack(projections)


def mixed_seeds_in(traced: Trace, layer: str) -> list[Seed]:
    """Return units at corners, edges and the middle of a layer, and whole maps, of both images in turn."""
    shape = traced.outputs[layer].shape
    maps = shape[1]
    if len(shape) == 2:
        return [Unit(1, maps - 1), Maps(0, (0, 2)), Unit(0, 1)]
    last, middle = shape[2] - 1, shape[2] // 2
    positions = [(0, 0), (0, last), (last, 0), (last, last), (middle, 0), (0, middle), (middle, middle)]
    units = [Unit(index % 2, index % maps, y, x) for index, (y, x) in enumerate(positions)]
    return [*units[:3], Maps(1, (0, maps - 1)), *units[3:]]


NARROW = NetworkSpec(
    name="narrow-zfnet",
    layers=tuple(
        layer.model_copy(update={"channels": 3}) if isinstance(layer, Conv) else layer
        for layer in zfnet(classes=4, hidden=5).layers
    ),
)


@pytest.fixture
def narrow_zfnet(seeded_network: Callable[..., Network]) -> Network:
    """ZFNet for images of full size, with three maps per convolution."""
    return seeded_network(NARROW)


@pytest.fixture(scope="session")
def small_zfnet() -> Network:
    """ZFNet with all maps and narrow fully connected layers; read-only."""
    return build(zfnet(classes=4, hidden=16), generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture
def by_autograd() -> Callable[..., Tensor]:
    """Projects like `project`, but from images, with torch's layers and autograd."""
    return project_by_autograd


@pytest.fixture
def mixed_seeds() -> Callable[[Trace, str], list[Seed]]:
    return mixed_seeds_in


@pytest.fixture
def tiny_images(tiny_network: Network, images_for: Callable[..., Tensor]) -> Tensor:
    return images_for(tiny_network)


@pytest.fixture
def tiny_trace(tiny_network: Network, tiny_images: Tensor) -> Trace:
    return trace(tiny_network, tiny_images)


@pytest.fixture
def branchy_images(branchy_network: Network, images_for: Callable[..., Tensor]) -> Tensor:
    return images_for(branchy_network)


@pytest.fixture
def branchy_trace(branchy_network: Network, branchy_images: Tensor) -> Trace:
    return trace(branchy_network, branchy_images)
