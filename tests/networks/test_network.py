"""The module that a spec builds: its weights, and what its forward pass keeps and drops."""

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zfscope.networks import Network, NetworkSpec, build, zfnet
from zfscope.networks import network as module
from zfscope.networks.layers import Layer
from zfscope.networks.network import apply_dropout, initialise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same_weights(one: Network, other: Network) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_weights_go_by_the_names_of_their_layers(tiny_spec: NetworkSpec) -> None:
    shapes = {key: tuple(value.shape) for key, value in Network(tiny_spec).layers.state_dict().items()}
    assert shapes == {
        "conv1.weight": (6, 3, 5, 5),
        "conv1.bias": (6,),
        "conv2.weight": (8, 6, 3, 3),
        "conv2.bias": (8,),
        "conv3.weight": (8, 8, 3, 3),
        "conv3.bias": (8,),
        "fc6.weight": (12, 72),
        "fc6.bias": (12,),
        "fc8.weight": (4, 12),
        "fc8.bias": (4,),
    }


def test_a_layer_without_weights_has_none(tiny_network: Network) -> None:
    assert tiny_network.weights("relu1") is None
    assert list(tiny_network.filters) == ["conv1", "conv2", "conv3", "fc6", "fc8"]


def test_one_seed_gives_one_network(tiny_spec: NetworkSpec) -> None:
    assert same_weights(build(tiny_spec, generator=generator(1)), build(tiny_spec, generator=generator(1)))
    assert not same_weights(
        build(tiny_spec, generator=generator(1)), build(tiny_spec, generator=generator(2))
    )


def test_a_generator_of_ones_own_leaves_the_global_one_alone(tiny_spec: NetworkSpec) -> None:
    before = torch.random.get_rng_state()
    build(tiny_spec, generator=generator())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_initial_weights_have_the_deviation_of_their_layer() -> None:
    network = build(zfnet(classes=10, hidden=8), generator=generator()).requires_grad_(False)
    initialise(network, {"conv1": 0.001, "*": 0.01}, generator=generator())
    deviations = {name: float(filters.weight.std()) for name, filters in network.filters.items()}
    assert deviations["conv1"] == pytest.approx(0.001, rel=0.02)
    assert deviations["conv3"] == pytest.approx(0.01, rel=0.02)
    assert all(not filters.bias.any() for filters in network.filters.values())


def test_a_layer_without_a_deviation_is_initialised_by_what_its_units_read() -> None:
    network = build(zfnet(classes=10, hidden=8), generator=generator()).requires_grad_(False)
    fan_in = 384 * 3 * 3
    assert float(network.filters["conv4"].weight.std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)


def test_scores_are_those_of_the_last_layer(tiny_network: Network, images_for: Callable[..., Tensor]) -> None:
    images = images_for(tiny_network, 3)
    scores = tiny_network(images)
    assert scores.shape == (3, 4)
    torch.testing.assert_close(scores[1:2], tiny_network(images[1:2]))


def test_a_forward_pass_keeps_no_layer_that_nothing_will_read(
    branchy_network: Network, images_for: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, weakref.ref[Tensor]] = {}
    alive: dict[str, set[str]] = {}

    def watched(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(layer: Layer, *arguments: object) -> Tensor:
            alive[layer.name] = {name for name, output in given.items() if output() is not None}
            output = step(layer, *arguments)
            given[layer.name] = weakref.ref(output)
            return output

        return run

    monkeypatch.setattr(module, "FORWARD", {kind: watched(step) for kind, step in module.FORWARD.items()})
    with torch.no_grad():
        branchy_network(images_for(branchy_network))
    assert alive["stem_pool"] == {"stem_relu"}
    assert alive["mean"] == {"stem_pool", "narrow_relu", "wide_relu"}
    assert alive["sum"] == {"mixed", "peaks", "skip"}
    assert alive["scores"] == {"flatten", "norm"}  # the one is a view of the other


def test_a_forward_pass_leaves_nothing_on_the_module(
    tiny_network: Network, images_for: Callable[..., Tensor]
) -> None:
    before = dict(vars(tiny_network))
    tiny_network(images_for(tiny_network))
    assert vars(tiny_network) == before


def test_images_of_another_size_are_taken_when_asked_for(tiny_network: Network) -> None:
    images = torch.randn(2, 3, 49, 49, generator=generator(), dtype=torch.float64)
    assert tiny_network(images, resize_maps=True).shape == (2, 4)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        tiny_network(images)


def test_images_of_the_networks_own_size_are_not_resized(
    tiny_network: Network, images_for: Callable[..., Tensor]
) -> None:
    images = images_for(tiny_network)
    assert torch.equal(tiny_network(images, resize_maps=True), tiny_network(images))


def test_units_drop_out_only_where_a_generator_says_which(
    tiny_network: Network, images_for: Callable[..., Tensor]
) -> None:
    images = images_for(tiny_network)
    plain = tiny_network.train()(images)
    dropped = tiny_network(images, dropout=generator(1))
    assert torch.equal(plain, tiny_network.eval()(images))
    assert not torch.equal(dropped, plain)
    assert torch.equal(dropped, tiny_network(images, dropout=generator(1)))


def test_what_is_left_after_dropout_makes_up_for_what_is_gone() -> None:
    left = apply_dropout(torch.ones(10_000), 0.2, generator())
    assert left.unique().tolist() == [0, 1.25]
    assert float(left.mean()) == pytest.approx(1, abs=0.02)


def test_gradients_reach_every_weight_through_branches(
    branchy_network: Network, images_for: Callable[..., Tensor]
) -> None:
    branchy_network.requires_grad_(True)
    branchy_network(images_for(branchy_network)).square().sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in branchy_network.parameters()
    )
