"""The torch module of a network: weights, forward passes, dropout and gradients."""

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zfscope.networks import Network, NetworkSpec, build, zfnet
from zfscope.networks import network as module
from zfscope.networks.layer import Layer
from zfscope.networks.network import apply_dropout, initialise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same_weights(first: Network, second: Network) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_weights_have_the_names_of_their_layers(tiny_spec: NetworkSpec) -> None:
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


def test_a_layer_without_weights_returns_none(tiny_network: Network) -> None:
    assert tiny_network.weights("relu1") is None
    assert list(tiny_network.filters) == ["conv1", "conv2", "conv3", "fc6", "fc8"]


def test_equal_seeds_yield_equal_weights(tiny_spec: NetworkSpec) -> None:
    assert same_weights(build(tiny_spec, generator=generator(1)), build(tiny_spec, generator=generator(1)))
    assert not same_weights(
        build(tiny_spec, generator=generator(1)), build(tiny_spec, generator=generator(2))
    )


def test_a_given_generator_leaves_the_global_one_unchanged(tiny_spec: NetworkSpec) -> None:
    before = torch.random.get_rng_state()
    build(tiny_spec, generator=generator())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_initial_weights_have_the_given_deviations() -> None:
    network = build(zfnet(classes=10, hidden=8), generator=generator()).requires_grad_(False)
    initialise(network, {"conv1": 0.001, "*": 0.01}, generator=generator())
    deviations = {name: float(filters.weight.std()) for name, filters in network.filters.items()}
    assert deviations["conv1"] == pytest.approx(0.001, rel=0.02)
    assert deviations["conv3"] == pytest.approx(0.01, rel=0.02)
    assert all(not filters.bias.any() for filters in network.filters.values())


def test_the_default_deviation_follows_from_the_fan_in() -> None:
    network = build(zfnet(classes=10, hidden=8), generator=generator()).requires_grad_(False)
    fan_in = 384 * 3 * 3
    assert float(network.filters["conv4"].weight.std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)


def test_scores_do_not_depend_on_the_batch(tiny_network: Network, images_for: Callable[..., Tensor]) -> None:
    images = images_for(tiny_network, 3)
    scores = tiny_network(images)
    assert scores.shape == (3, 4)
    torch.testing.assert_close(scores[1:2], tiny_network(images[1:2]))


def test_a_forward_pass_releases_outputs_after_their_last_use(
    branchy_network: Network, images_for: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    references: dict[str, weakref.ref[Tensor]] = {}
    alive: dict[str, set[str]] = {}

    def record(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(layer: Layer, *arguments: object) -> Tensor:
            alive[layer.name] = {name for name, output in references.items() if output() is not None}
            output = step(layer, *arguments)
            references[layer.name] = weakref.ref(output)
            return output

        return run

    monkeypatch.setattr(module, "FORWARD", {kind: record(step) for kind, step in module.FORWARD.items()})
    with torch.no_grad():
        branchy_network(images_for(branchy_network))
    assert alive["stem_pool"] == {"stem_relu"}
    assert alive["mean"] == {"stem_pool", "narrow_relu", "wide_relu"}
    assert alive["sum"] == {"mixed", "peaks", "skip"}
    assert alive["scores"] == {"flatten", "norm"}  # flatten is a view of norm


def test_a_forward_pass_stores_nothing_on_the_module(
    tiny_network: Network, images_for: Callable[..., Tensor]
) -> None:
    before = dict(vars(tiny_network))
    tiny_network(images_for(tiny_network))
    assert vars(tiny_network) == before


def test_images_of_another_size_are_accepted_on_request(tiny_network: Network) -> None:
    images = torch.randn(2, 3, 49, 49, generator=generator(), dtype=torch.float64)
    assert tiny_network(images, resize_maps=True).shape == (2, 4)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        tiny_network(images)


def test_maps_of_the_required_size_are_not_resized(
    tiny_network: Network, images_for: Callable[..., Tensor]
) -> None:
    images = images_for(tiny_network)
    assert torch.equal(tiny_network(images, resize_maps=True), tiny_network(images))


def test_dropout_is_applied_only_with_a_generator(
    tiny_network: Network, images_for: Callable[..., Tensor]
) -> None:
    images = images_for(tiny_network)
    plain = tiny_network.train()(images)
    dropped = tiny_network(images, dropout=generator(1))
    assert torch.equal(plain, tiny_network.eval()(images))
    assert not torch.equal(dropped, plain)
    assert torch.equal(dropped, tiny_network(images, dropout=generator(1)))


def test_dropout_scales_the_remaining_units() -> None:
    units = apply_dropout(torch.ones(10_000), 0.2, generator())
    assert units.unique().tolist() == [0, 1.25]
    assert float(units.mean()) == pytest.approx(1, abs=0.02)


def test_every_weight_receives_a_gradient_through_branches(
    branchy_network: Network, images_for: Callable[..., Tensor]
) -> None:
    branchy_network.requires_grad_(True)
    branchy_network(images_for(branchy_network)).square().sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in branchy_network.parameters()
    )
