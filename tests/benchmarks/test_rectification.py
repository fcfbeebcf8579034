"""The measures of `benchmarks.rectification`, on projections and images made by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks.rectification import LINEAR, RULES, lower, project_all, strongest_other, without_rectifiers
from benchmarks.rectification_measures import (
    Field,
    UnitContext,
    location_correlation,
    medians,
    remaining,
    removed_energy,
    smoothness,
)
from docs.drawings import example
from zfscope.engine import Unit, trace
from zfscope.images.geometry import Box
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import Conv, MaxPool, ReLU

SIDE = 24


@pytest.fixture(scope="module")
def network() -> Network:
    spec = NetworkSpec(
        name="tiny",
        input_size=SIDE,
        layers=(
            Conv(name="conv1", channels=8, kernel=3),
            ReLU(name="relu1"),
            MaxPool(name="pool1", kernel=3, stride=2),
            Conv(name="conv2", channels=8, kernel=3),
            ReLU(name="relu2"),
            Conv(name="conv3", channels=8, kernel=3),
        ),
    )
    return build(spec, generator=torch.Generator().manual_seed(0)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def test_the_linear_projection_is_the_gradient_of_the_network_with_its_switches_but_without_relus(
    network: Network, image: torch.Tensor
) -> None:
    traced, unit = trace(network, image), Unit(0, 3, 2, 4)
    ours = project_all(network, without_rectifiers(network), traced, "conv3", [unit])[LINEAR][0]
    pixels = image.clone().requires_grad_()
    weights = {name: network.weights(name) for name in ("conv1", "conv2", "conv3")}
    below = F.conv2d(pixels, *weights["conv1"])  # type: ignore[misc]
    switches = traced.switches["pool1"]
    pooled = below.flatten(2).gather(2, switches.flatten(2)).view(switches.shape)
    output = F.conv2d(F.conv2d(pooled, *weights["conv2"]), *weights["conv3"])  # type: ignore[misc]
    activation = traced.maps("conv3")[0, 3, 2, 4]
    (gradient,) = torch.autograd.grad(output[0, 3, 2, 4], pixels, activation)
    torch.testing.assert_close(ours, gradient[0])


def test_the_rules_differ_and_the_weights_are_shared(network: Network, image: torch.Tensor) -> None:
    plain = without_rectifiers(network)
    by_rule = project_all(network, plain, trace(network, image), "conv3", [Unit(0, 3, 2, 4)])
    pairs = [(one, other) for one in RULES for other in RULES if one < other]
    assert not any(torch.allclose(by_rule[one], by_rule[other]) for one, other in pairs)
    assert plain.layers is network.layers


def test_the_strongest_other_unit_is_at_the_same_position(network: Network, image: torch.Tensor) -> None:
    traced, unit = trace(network, image), Unit(0, 3, 2, 4)
    other = strongest_other(traced, "conv3", unit)
    column = traced.maps("conv3")[0, :, 2, 4]
    assert (other.y, other.x) == (2, 4)
    assert other.map != unit.map
    assert all(column[other.map] >= value for number, value in enumerate(column) if number != unit.map)


def test_the_removed_energy_is_that_of_the_negative_numbers_in_the_drawn_example() -> None:
    network = example.example_network()
    traced = example.example_trace(network)
    (higher,) = removed_energy(network, traced, "conv2", [example.SECOND_UNIT])
    (first,) = removed_energy(network, traced, "pool1", [example.FIRST_UNIT])
    assert first == {"removed.relu1": 0}  # directly below the seed
    assert higher["removed.relu1"] == pytest.approx((64 + 16) / (64 + 16 + 16 + 16 + 64))


def test_covering_the_cells_that_a_unit_reads_changes_it_and_others_do_not() -> None:
    spec = NetworkSpec(
        name="one", input_size=12, layers=(Conv(name="conv1", channels=1, kernel=12, bias=False),)
    )
    network = Network(spec).requires_grad_(False)
    weight = torch.zeros(1, 3, 12, 12)
    weight[..., :2, :8] = 1  # the first four of 6 x 6 cells of 2 x 2 pixels
    network.layers.load_state_dict({"conv1.weight": weight})
    image = torch.ones(1, 3, 12, 12)
    field = Field(image[0].numpy(), Box(0, 0, 12, 12))
    context = UnitContext(network, trace(network, image), "conv1", Unit(0, 0), field)
    first, last = np.zeros((6, 6)), np.zeros((6, 6))
    first[0, :4], last[5, 2:] = 1, 1
    assert remaining(context, {"first": first, "last": last}) == {"first": 0, "last": 1}


def test_the_share_in_flat_cells_and_the_concentration_are_those_of_the_energy() -> None:
    image = np.zeros((1, 12, 12), np.float32)
    image[:, :, 6:] = np.random.default_rng(0).random((12, 6))  # contrast at the right
    field = Field(image, Box(0, 0, 12, 12))
    projection = np.zeros((1, 12, 12), np.float32)
    projection[0, 0, 0], projection[0, 11, 11] = 1, 2
    assert field.flat_share(projection) == pytest.approx(1 / 5)
    assert field.half(projection) == pytest.approx(1 / 144)


def test_noise_is_not_smooth_and_a_slope_is() -> None:
    noise = np.random.default_rng(0).normal(size=(3, 60, 60)).astype(np.float32)
    slope = np.tile(np.arange(60, dtype=np.float32), (3, 60, 1)) + noise / 100
    assert abs(smoothness(noise)) < 0.05
    assert smoothness(slope) > 0.99


def test_the_location_ignores_signs_and_colours() -> None:
    one = np.random.default_rng(0).normal(size=(3, 20, 20)).astype(np.float32)
    other = np.random.default_rng(1).normal(size=(3, 20, 20)).astype(np.float32)
    assert location_correlation(one, -one[::-1]) == pytest.approx(1)
    assert abs(location_correlation(one, other) or 0) < 0.2
    assert location_correlation(one, np.zeros_like(one)) is None


def test_medians_leave_out_missing_values_and_equal_remainders_count_as_half() -> None:
    units = [{"a": 1.0, "b": None}, {"a": 2.0, "b": 4.0}, {"a": 6.0, "b": None}]
    assert medians(units) == {"a": 2.0, "b": 4.0}
    remainders = [(0.1, 0.2), (0.2, 0.2), (0.3, 0.2), (0.1, 0.2)]
    rows = [{**{f"{rule}.left": own for rule in RULES}, f"{LINEAR}.left": plain} for own, plain in remainders]
    assert lower(rows)["deconvnet.lower"] == pytest.approx(2.5 / 4, abs=1e-3)
