"""Training steps and learning rates."""

import pytest
import torch

from tests.support.random_networks import random_spec
from zfscope.networks.head import replace_head
from zfscope.networks.network import Network, build
from zfscope.runtimes.precision import has_bfloat16
from zfscope.training.optimise import learning_rate, make_optimizer, plateaus, train_step
from zfscope.training.recipe import Recipe


def test_the_cosine_warms_up_and_ends_at_zero(recipe: Recipe) -> None:
    warm = recipe.model_copy(update={"warm_up_epochs": 1.0})
    assert learning_rate(warm, 0, 10, []) == 0
    assert learning_rate(warm, 5, 10, []) == pytest.approx(0.005)
    assert learning_rate(warm, 10, 10, []) == pytest.approx(0, abs=1e-12)


def test_the_plateau_schedule_divides_by_ten_after_three_epochs_without_progress(recipe: Recipe) -> None:
    plateau = recipe.model_copy(update={"schedule": "plateau"})
    assert learning_rate(plateau, 3, 10, [10, 20, 30]) == pytest.approx(0.01)
    assert learning_rate(plateau, 6, 10, [30, 20, 20, 20]) == pytest.approx(0.001)
    assert plateaus([30, 20, 20, 20, 20, 20, 20]) == 2
    assert plateaus([30, 20, 20, 31, 20, 20]) == 0


@pytest.mark.parametrize("seed", range(12))
def test_every_kind_of_layer_can_be_trained_in_half_precision(recipe: Recipe, seed: int) -> None:
    network = build(replace_head(random_spec(seed), 3).spec, generator=torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    batch = torch.randn(2, *network.shapes["input"], generator=generator), torch.arange(2)
    loss = train_step(
        network,
        make_optimizer(network, recipe),
        batch,
        recipe=recipe,
        rate=0.01,
        dropout=generator,
        half=True,
    ).labels
    assert loss > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_steps_lower_the_loss_and_keep_filters_within_the_radius(
    network: Network, recipe: Recipe, optimizer: str
) -> None:
    changed = recipe.model_copy(update={"optimizer": optimizer, "filter_rms": 0.1})
    torch_optimizer = make_optimizer(network, changed)
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(8, 3, 32, 32, generator=generator), torch.arange(8) % 2
    losses = [
        train_step(
            network, torch_optimizer, batch, recipe=changed, rate=0.01, dropout=generator, half=False
        ).labels
        for _ in range(25)
    ]
    assert losses[-1] < losses[0] / 2
    rms = network.filters["conv1"].weight.square().mean((1, 2, 3)).sqrt()
    assert rms.max() <= 0.1 + 1e-6


def test_biases_are_not_decayed(network: Network, recipe: Recipe) -> None:
    groups = make_optimizer(network, recipe.model_copy(update={"weight_decay": 0.1})).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(3, 0.1), (3, 0.0)]


def test_half_precision_depends_on_the_device() -> None:
    assert has_bfloat16(torch.device("cpu")) in (True, False)


def test_a_step_in_bfloat16_gives_nearly_the_same_loss(network: Network, recipe: Recipe) -> None:
    batch = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2
    losses = [
        train_step(
            network,
            make_optimizer(network, recipe),
            batch,
            recipe=recipe,
            rate=0.0,
            dropout=torch.Generator().manual_seed(1),
            half=half,
        ).labels
        for half in (False, True)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_biases_use_their_fraction_of_the_learning_rate(network: Network, recipe: Recipe) -> None:
    changed = recipe.model_copy(update={"bias_rate": 0.5, "centre_filters": True})
    torch_optimizer = make_optimizer(network, changed)
    batch = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2
    train_step(
        network, torch_optimizer, batch, recipe=changed, rate=0.01, dropout=torch.Generator(), half=False
    )
    assert [group["lr"] for group in torch_optimizer.param_groups] == [0.01, 0.005]
    # The first step of Adam is as long as its rate: from zero, wherever there is a gradient.
    assert network.filters["fc3"].bias.abs().tolist() == pytest.approx([0.005, 0.005], rel=1e-3)
