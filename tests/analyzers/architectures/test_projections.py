"""Maxima over photos, and projections of maps from the photos that activate them most."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from zfscope.cancellation import interruptible
from zfscope.engine import Maps, project, trace
from zfscope.errors import Cancelled
from zfscope.networks import Network, NetworkSpec
from zfscope_analyzers.architectures.projections import MapResponses, evenly_spaced, map_responses

LAYERS = ("conv1", "conv2")


@pytest.fixture
def network(spec: NetworkSpec, make_model: Callable[..., Any]) -> Network:
    network: Network = make_model(spec).network
    return network


@pytest.fixture
def images(network: Network) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(1, *network.shapes["input"], generator=generator) for _ in range(3)]


def responses(network: Network, images: list[torch.Tensor], max_maps: int = 64) -> MapResponses:
    return map_responses(network, images, LAYERS, max_maps=max_maps)


def test_maxima_are_over_all_photos_and_positions(network: Network, images: list[torch.Tensor]) -> None:
    outputs = trace(network, torch.cat(images), until="conv2").outputs
    result = responses(network, images)
    for layer in LAYERS:
        np.testing.assert_allclose(result.maxima[layer], outputs[layer].amax((0, 2, 3)).numpy(), rtol=1e-5)


def test_each_map_is_projected_whole_from_the_photo_that_activates_it_most(
    network: Network, images: list[torch.Tensor]
) -> None:
    result = responses(network, images)
    whole = trace(network, torch.cat(images), until="conv2")
    best = whole.outputs["conv2"].amax((2, 3)).argmax(0).tolist()
    assert len(set(best)) > 1
    for number, projection in enumerate(result.projections):
        expected = project(network, whole, "conv2", [Maps(best[number], (number,))])[0]
        np.testing.assert_allclose(projection, expected.numpy(), rtol=1e-4, atol=1e-2)


def test_maps_that_no_photo_activates_are_not_projected(network: Network, images: list[torch.Tensor]) -> None:
    all_maps = responses(network, images).projections
    network.filters["conv2"].bias[3] = -1e6
    result = responses(network, images)
    assert result.maxima["conv2"][3] < 0
    np.testing.assert_allclose(result.projections, np.delete(all_maps, 3, axis=0), rtol=1e-4, atol=1e-2)
    network.filters["conv2"].bias.fill_(-1e6)
    assert responses(network, images).projections.shape == (0, 3, 96, 96)


def test_a_bounded_number_of_evenly_spaced_maps_is_projected(
    network: Network, images: list[torch.Tensor]
) -> None:
    all_maps = responses(network, images).projections
    np.testing.assert_allclose(
        responses(network, images, max_maps=3).projections, all_maps[[0, 4, 7]], rtol=1e-4, atol=1e-2
    )


def test_evenly_spaced_elements_include_the_first_and_the_last() -> None:
    assert evenly_spaced(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert evenly_spaced(np.arange(3), 4).tolist() == [0, 1, 2]
    assert evenly_spaced(np.arange(0), 4).tolist() == []


def test_projecting_stops_when_the_call_is_cancelled(network: Network, images: list[torch.Tensor]) -> None:
    checks = 0

    def cancelled() -> None:
        nonlocal checks
        checks += 1
        if checks == 4:  # three photos are done; the projections have begun
            raise Cancelled("cancelled")

    with interruptible(cancelled), pytest.raises(Cancelled):
        map_responses(network, images, LAYERS, max_maps=64)
    assert checks == 4
