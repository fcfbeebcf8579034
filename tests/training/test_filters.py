"""Filters: renormalisation and roughness."""

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


def test_only_filters_beyond_the_radius_are_scaled_and_only_in_conv_layers(network: Network) -> None:
    with torch.no_grad():
        network.filters["conv1"].weight[0].fill_(0.3)
        network.filters["conv1"].weight[1].fill_(0.05)
        network.filters["fc2"].weight.fill_(0.9)
    renormalise(network, 0.1)
    weight = network.filters["conv1"].weight
    torch.testing.assert_close(weight[0], torch.full_like(weight[0], 0.1))
    torch.testing.assert_close(weight[1], torch.full_like(weight[1], 0.05))
    assert (network.filters["fc2"].weight == 0.9).all()


def test_white_noise_has_roughness_one_and_a_slope_nearly_none() -> None:
    noise = torch.randn(400, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    assert roughness(noise).mean().item() == pytest.approx(1.0, abs=0.06)
    slope = torch.arange(7.0).expand(1, 3, 7, 7)
    # Differences of 1 across and 0 down; the variance of 0..6 is 4: 1 / (4 * 4).
    assert roughness(slope).item() == pytest.approx(1 / 16)


def test_the_scale_of_a_filter_does_not_change_its_roughness() -> None:
    noise = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(roughness(noise * 1e-3), roughness(noise))


def test_dead_and_noisy_filters_are_counted(network: Network) -> None:
    smooth = torch.arange(5.0).expand(4, 3, 5, 5).clone()
    smooth[0] *= 1e-3
    smooth[1] = torch.tensor([[1.0, -1.0] * 2 + [1.0]]).T @ torch.tensor([[1.0, -1.0] * 2 + [1.0]])
    with torch.no_grad():
        network.filters["conv1"].weight.copy_(smooth)
    assert filter_report(network)["lost_filters"] == 50.0


def test_a_filter_at_the_share_of_the_median_is_alive_and_the_next_smaller_one_is_dead() -> None:
    share = DEAD_SHARE * 20
    rms = np.array([20, share, np.nextafter(share, 0), 20, 20])
    assert dead_filters(rms).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("least", [0.0, 1e-9])
def test_filters_that_are_rounding_of_the_largest_are_dead_even_where_most_are(least: float) -> None:
    assert dead_filters(np.array([least, least, 3])).tolist() == [True, True, False]


def test_the_share_of_dead_filters_in_the_log_counts_zeros_where_most_filters_are_zero(
    network: Network,
) -> None:
    with torch.no_grad():
        network.filters["conv1"].weight[:3] = 0
        network.filters["conv1"].weight[3] = torch.arange(5.0)
    assert filter_report(network)["lost_filters"] == 75.0


def test_maps_that_no_photo_excites_are_counted(network: Network) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.filters["conv1"].weight.abs_()
        network.filters["conv1"].weight[2] *= -1
    assert dead_maps(network, images) == {"dead_conv1": 25.0}


def test_filters_are_centred_in_all_conv_layers_but_the_first() -> None:
    layers = (Conv(name="conv1", channels=2, kernel=3), Conv(name="conv2", channels=2, kernel=3))
    network = build(NetworkSpec(name="two", input_size=9, layers=layers))
    first, second = (network.filters[name].weight.detach().clone() for name in ("conv1", "conv2"))
    centre_filters(network)
    assert torch.equal(network.filters["conv1"].weight, first)
    expected = second - second.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(network.filters["conv2"].weight.detach(), expected)
