"""Filters: renormalisation, roughness, dead filters and maps."""

import numpy as np
import pytest
import torch

from zfscope.networks.layers import Conv
from zfscope.networks.network import Network, build
from zfscope.networks.spec import NetworkSpec
from zfscope.training.filters import (
    DEAD_SHARE,
    centre_filters,
    dead_filters,
    dead_maps,
    filter_report,
    renormalise,
    roughness,
)


def test_only_convolutional_filters_above_the_radius_are_scaled(network: Network) -> None:
    with torch.no_grad():
        network.filters["conv1"].weight[0].fill_(0.3)
        network.filters["conv1"].weight[1].fill_(0.05)
        network.filters["fc2"].weight.fill_(0.9)
    renormalise(network, 0.1)
    weight = network.filters["conv1"].weight
    torch.testing.assert_close(weight[0], torch.full_like(weight[0], 0.1))
    torch.testing.assert_close(weight[1], torch.full_like(weight[1], 0.05))
    assert (network.filters["fc2"].weight == 0.9).all()


def test_white_noise_has_roughness_one_and_a_slope_nearly_zero() -> None:
    noise = torch.randn(400, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    assert roughness(noise).mean().item() == pytest.approx(1.0, abs=0.06)
    slope = torch.arange(7.0).expand(1, 3, 7, 7)
    # Differences of 1 across and 0 down; the variance of 0..6 is 4: 1 / (4 * 4).
    assert roughness(slope).item() == pytest.approx(1 / 16)


def test_roughness_does_not_depend_on_scale() -> None:
    noise = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(roughness(noise * 1e-3), roughness(noise))


def test_dead_and_noisy_filters_are_counted(network: Network) -> None:
    smooth = torch.arange(5.0).expand(4, 3, 5, 5).clone()
    smooth[0] *= 1e-3
    smooth[1] = torch.tensor([[1.0, -1.0] * 2 + [1.0]]).T @ torch.tensor([[1.0, -1.0] * 2 + [1.0]])
    with torch.no_grad():
        network.filters["conv1"].weight.copy_(smooth)
    assert filter_report(network)["lost_filters"] == 50.0


def test_a_filter_is_dead_just_below_the_threshold_and_alive_at_it() -> None:
    share = DEAD_SHARE * 20
    rms = np.array([20, share, np.nextafter(share, 0), 20, 20])
    assert dead_filters(rms).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("least", [0.0, 1e-9])
def test_filters_within_rounding_error_are_dead_even_if_most_are(least: float) -> None:
    assert dead_filters(np.array([least, least, 3])).tolist() == [True, True, False]


def test_lost_filters_includes_zeros_even_if_most_filters_are_zero(
    network: Network,
) -> None:
    with torch.no_grad():
        network.filters["conv1"].weight[:3] = 0
        network.filters["conv1"].weight[3] = torch.arange(5.0)
    assert filter_report(network)["lost_filters"] == 75.0


def test_maps_that_no_photo_activates_are_counted(network: Network) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.filters["conv1"].weight.abs_()
        network.filters["conv1"].weight[2] *= -1
    assert dead_maps(network, images) == {"dead_conv1": 25.0}


def test_filters_are_centred_except_in_the_first_layer() -> None:
    layers = (Conv(name="conv1", channels=2, kernel=3), Conv(name="conv2", channels=2, kernel=3))
    network = build(NetworkSpec(name="two", input_size=9, layers=layers))
    first, second = (network.filters[name].weight.detach().clone() for name in ("conv1", "conv2"))
    centre_filters(network)
    assert torch.equal(network.filters["conv1"].weight, first)
    expected = second - second.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(network.filters["conv2"].weight.detach(), expected)
