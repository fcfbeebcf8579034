"""bfloat16: exact on numbers that it represents, and within rounding of float32 and of other implementations.

A network of whole numbers, none of which exceeds 256 at any layer, has no rounding error in bfloat16: results
must be those of brute force and of autograd to the last bit. On random numbers, the tolerance is a multiple
of the rounding error of one value, 2^-9, relative to the largest value of the layer.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import product

import pytest
import torch
from torch import Tensor

from tests.support.random_networks import random_network
from zfscope.engine import Maps, Seed, Trace, Unit, project, strongest_units, trace
from zfscope.engine.backward import Rule
from zfscope.engine.occlusion import recompute
from zfscope.engine.signal import Signal
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import Add, AvgPool, Concat, Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.networks.windows import Padding

ROUNDING = 2.0**-9
# Several layers, each of which rounds its inputs and outputs. The largest errors were 11 (occlusion) and 7
# (projections) times that of one value, and 24 times in random networks, which are deeper.
TOLERANCE = 16 * ROUNDING

# Both variants of the transposed convolution, and windows that overlap in all layers.
WHOLE_NUMBERS = NetworkSpec(
    name="whole-numbers",
    input_size=25,
    layers=(
        Conv(name="conv1", channels=9, kernel=5, stride=2, padding=Padding(1, 1, 1, 1)),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        Conv(name="conv2", channels=10, kernel=3, padding=Padding(1, 1, 1, 1)),
        ReLU(name="relu2"),
        Conv(name="narrow", channels=10, kernel=1),
        Add(name="sum", inputs=("relu2", "narrow")),
        AvgPool(name="mean", kernel=2, stride=2),
        Concat(name="joined", inputs=("mean", "mean")),
        Flatten(name="flatten"),
        Linear(name="fc", units=8),
        ReLU(name="relu"),
        Linear(name="scores", units=4),
    ),
)


@pytest.fixture(scope="module")
def whole_numbers() -> Network:
    """A network whose weights are -1, 0 and 1, most of them 0."""
    generator = torch.Generator().manual_seed(3)
    network = build(WHOLE_NUMBERS, generator=generator).eval().requires_grad_(False)
    for filters in network.filters.values():
        share = min(1.0, 3 / filters.weight[0].numel())
        drawn = torch.rand(filters.weight.shape, generator=generator)
        signs = torch.randint(0, 2, filters.weight.shape, generator=generator) * 2.0 - 1
        filters.weight.copy_(signs * (drawn < share))
    return network


@pytest.fixture(scope="module")
def whole_images(whole_numbers: Network) -> Tensor:
    shape = (2, *whole_numbers.shapes["input"])
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(1)).float()


def rounded(network: Network) -> Network:
    return copy.deepcopy(network).to(torch.bfloat16)


def windows_in(images: Tensor, side: int) -> Signal:
    """Return other pixels for windows in the corners, at the edges and in the middle of the images."""
    last = images.shape[2] - side
    positions = list(product((0, last // 2, last), repeat=2))
    shape = (len(positions), images.shape[1], side, side)
    values = torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(2)).to(images)
    return Signal(values, torch.arange(len(positions)) % len(images), torch.tensor(positions))


def occluded(images: Tensor, changes: Signal) -> Tensor:
    whole, side = images[changes.images].clone(), changes.size[0]
    for row, (y, x) in enumerate(changes.origins.tolist()):
        whole[row, :, y : y + side, x : x + side] = changes.values[row]
    return whole


def check_recomputed(
    network: Network, traced: Trace, changes: Signal, expected: Trace, tolerance: float
) -> None:
    names = [layer.name for layer in network.spec.layers]
    done = dict.fromkeys(names, 0)
    for part in recompute(network, traced, changes, names):
        for name, signal in part.outputs.items():
            done[name] += len(part.windows)
            for row, window in enumerate(part.windows):
                whole = expected.outputs[name][window]
                (y, x), size = signal.origins[row].tolist(), signal.values.shape[2:]
                area = whole[:, y : y + size[0], x : x + size[1]] if whole.dim() == 3 else whole
                allowed = tolerance * float(whole.abs().max())
                values = signal.values[row].to(area.dtype)
                torch.testing.assert_close(values, area, rtol=0, atol=allowed, msg=name)
    assert set(done.values()) == {len(changes.values)}


def test_recomputed_whole_numbers_equal_brute_force(whole_numbers: Network, whole_images: Tensor) -> None:
    changes = windows_in(whole_images, 7)
    expected = trace(whole_numbers, occluded(whole_images, changes))
    assert all(torch.equal(out, out.bfloat16().float()) for out in expected.outputs.values())
    assert all(float(out.abs().max()) > 0 for out in expected.outputs.values())
    check_recomputed(rounded(whole_numbers), trace(whole_numbers, whole_images), changes, expected, 0)


@pytest.mark.parametrize("side", [3, 9])
@pytest.mark.parametrize("name", ["tiny", "branchy"])
def test_recomputed_layers_are_within_rounding_of_whole_passes(
    name: str, side: int, request: pytest.FixtureRequest
) -> None:
    """Whole passes on each changed image in bfloat16, and in float32."""
    network = copy.deepcopy(request.getfixturevalue(f"{name}_network")).float()
    images = request.getfixturevalue(f"{name}_images").float()
    fast, changes = rounded(network), windows_in(images, side)
    whole, traced = occluded(images, changes), trace(network, images)
    check_recomputed(fast, traced, changes, trace(network, whole), TOLERANCE)
    check_recomputed(fast, traced, changes, trace(fast, whole.bfloat16()), TOLERANCE)


def test_recomputed_layers_of_zfnet_are_within_rounding_of_float32(small_zfnet: Network) -> None:
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    changes = windows_in(images, 32)
    expected = trace(small_zfnet, occluded(images, changes))
    check_recomputed(rounded(small_zfnet), trace(small_zfnet, images), changes, expected, TOLERANCE)


def test_requested_scores_are_not_rounded(tiny_network: Network, tiny_images: Tensor) -> None:
    """They are float32 sums of the products of rounded inputs and weights."""
    network, images = copy.deepcopy(tiny_network).float(), tiny_images.float()
    changes, fast = windows_in(images, 9), rounded(network)
    weight, bias = fast.weights("fc8") or (torch.empty(0), None)
    assert bias is not None
    inputs, scores = torch.zeros(9, 12), torch.zeros(9, 4)
    for part in recompute(fast, trace(network, images), changes, ["relu6", "fc8"]):
        for name, values in (("relu6", inputs), ("fc8", scores)):
            if name in part.outputs:
                values[part.windows] = part.outputs[name].values.float()
    torch.testing.assert_close(scores, inputs @ weight.float().T + bias.float(), rtol=1e-6, atol=1e-6)
    assert not torch.equal(scores, scores.bfloat16().float())


def check_projections(
    network: Network,
    traced: Trace,
    layers: Sequence[str],
    expected: Callable[[str, Sequence[Seed]], Tensor],
    seeds_in: Callable[[Trace, str], list[Seed]],
    tolerance: float,
    **rules: str,
) -> None:
    for layer in layers:
        seeds = seeds_in(traced, layer)
        pixels, right = project(network, traced, layer, seeds, **rules), expected(layer, seeds)  # type: ignore[arg-type]
        assert pixels.dtype == torch.bfloat16
        for one, other in zip(pixels.to(right.dtype), right, strict=True):
            allowed = tolerance * float(other.abs().max())
            torch.testing.assert_close(one, other, rtol=0, atol=allowed, msg=layer)


def names_of(network: Network) -> list[str]:
    return [layer.name for layer in network.spec.layers]


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
def test_projected_whole_numbers_equal_autograd(
    rule: Rule,
    whole_numbers: Network,
    whole_images: Tensor,
    by_autograd: Callable[..., Tensor],
    mixed_seeds: Callable[[Trace, str], list[Seed]],
) -> None:
    traced = trace(whole_numbers, whole_images)
    layers = names_of(whole_numbers)[: names_of(whole_numbers).index("mean")]  # later signals have fractions
    check_projections(
        rounded(whole_numbers),
        traced,
        layers,
        lambda layer, seeds: by_autograd(whole_numbers, whole_images, layer, seeds, rule=rule),
        mixed_seeds,
        0,
        rule=rule,
    )


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize("normalisation", ["skip", "gradient"])
@pytest.mark.parametrize("name", ["tiny", "branchy"])
def test_projections_are_within_rounding_of_autograd_with_the_same_weights(
    name: str,
    rule: Rule,
    normalisation: str,
    request: pytest.FixtureRequest,
    by_autograd: Callable[..., Tensor],
    mixed_seeds: Callable[[Trace, str], list[Seed]],
) -> None:
    fast = rounded(request.getfixturevalue(f"{name}_network"))
    images, same = request.getfixturevalue(f"{name}_images").float(), copy.deepcopy(fast).float()
    rules = {"rule": rule, "normalisation": normalisation}
    check_projections(
        fast,
        trace(same, images),
        names_of(fast),
        lambda layer, seeds: by_autograd(same, images, layer, seeds, **rules),
        mixed_seeds,
        TOLERANCE,
        **rules,
    )


@pytest.mark.parametrize("layer", ["conv2", "conv5", "pool5", "fc8"])
def test_projections_of_zfnet_are_within_rounding_of_float32(small_zfnet: Network, layer: str) -> None:
    traced = trace(small_zfnet, torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    units = strongest_units(traced, layer, 0, 4)
    expected = project(small_zfnet, traced, layer, units)
    pixels = project(rounded(small_zfnet), traced, layer, units).float()
    allowed = TOLERANCE * float(expected.abs().max())
    torch.testing.assert_close(pixels, expected, rtol=0, atol=allowed)


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_of_layer_is_projected_and_recomputed(seed: int) -> None:
    network = random_network(seed).float()
    images = torch.randn(2, *network.shapes["input"], generator=torch.Generator().manual_seed(1))
    traced, fast, last = trace(network, images), rounded(network), names_of(network)[-1]
    seeds: list[Seed] = [Maps(0, (0,)), Unit(1, 0)]
    for rule in ("deconvnet", "gradient"):
        pixels, expected = (
            project(each, traced, last, seeds, rule=rule, normalisation="gradient")
            for each in (fast, network)
        )
        allowed = 4 * TOLERANCE * float(expected.abs().max())
        torch.testing.assert_close(pixels.float(), expected, rtol=0, atol=allowed)
    changes = windows_in(images, 3)
    right = trace(network, occluded(images, changes))
    check_recomputed(fast, traced, changes, right, 4 * TOLERANCE)
