"""Maxima over photos, and the projections of maps from the photos that excite them most."""

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


def seen(network: Network, images: list[torch.Tensor], most: int = 64) -> MapResponses:
    return map_responses(network, images, LAYERS, most=most)


def test_maxima_are_over_all_photos_and_places(network: Network, images: list[torch.Tensor]) -> None:
    outputs = trace(network, torch.cat(images), until="conv2").outputs
    found = seen(network, images)
    for layer in LAYERS:
        np.testing.assert_allclose(found.maxima[layer], outputs[layer].amax((0, 2, 3)).numpy(), rtol=1e-5)


def test_each_map_is_projected_whole_from_the_photo_that_excites_it_most(
    network: Network, images: list[torch.Tensor]
) -> None:
    found = seen(network, images)
    whole = trace(network, torch.cat(images), until="conv2")
    best = whole.outputs["conv2"].amax((2, 3)).argmax(0).tolist()
    assert len(set(best)) > 1
    for number, projection in enumerate(found.projections):
        expected = project(network, whole, "conv2", [Maps(best[number], (number,))])[0]
        np.testing.assert_allclose(projection, expected.numpy(), rtol=1e-4, atol=1e-2)


def test_maps_that_no_photo_excites_are_not_projected(network: Network, images: list[torch.Tensor]) -> None:
    all_maps = seen(network, images).projections
    network.filters["conv2"].bias[3] = -1e6
    found = seen(network, images)
    assert found.maxima["conv2"][3] < 0
    np.testing.assert_allclose(found.projections, np.delete(all_maps, 3, axis=0), rtol=1e-4, atol=1e-2)
    network.filters["conv2"].bias.fill_(-1e6)
    assert seen(network, images).projections.shape == (0, 3, 96, 96)


def test_of_many_maps_some_are_projected_evenly_spread(network: Network, images: list[torch.Tensor]) -> None:
    all_maps = seen(network, images).projections
    np.testing.assert_allclose(
        seen(network, images, most=3).projections, all_maps[[0, 4, 7]], rtol=1e-4, atol=1e-2
    )


def test_evenly_spread_things_begin_with_the_first_and_end_with_the_last() -> None:
    assert evenly_spaced(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert evenly_spaced(np.arange(3), 4).tolist() == [0, 1, 2]
    assert evenly_spaced(np.arange(0), 4).tolist() == []


def test_it_stops_when_nobody_waits_any_more(network: Network, images: list[torch.Tensor]) -> None:
    looks = 0

    def cancelled() -> None:
        nonlocal looks
        looks += 1
        if looks == 4:  # three photos are done; the projections have begun
            raise Cancelled("gone")

    with interruptible(cancelled), pytest.raises(Cancelled):
        map_responses(network, images, LAYERS, most=64)
    assert looks == 4
