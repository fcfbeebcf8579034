"""Runs resume exactly, and warn if the loss does not fall."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.conftest import Killed
from zfscope.errors import InputError
from zfscope.networks.network import Network, initialise
from zfscope.networks.spec import NetworkSpec
from zfscope.training.batches import Batches
from zfscope.training.evaluate import MeasuredAccuracy
from zfscope.training.run import TrainingCallbacks, TrainingRun


def silent(warn: Callable[[str], None] = lambda text: None) -> TrainingCallbacks:
    return TrainingCallbacks(photos=lambda done, left: None, epoch=lambda row: None, warn=warn)


def new_network(spec: NetworkSpec) -> Network:
    network = Network(spec)
    initialise(network, {}, generator=torch.Generator().manual_seed(3))
    return network


def weights(run: TrainingRun) -> torch.Tensor:
    return torch.cat([value.flatten() for value in run.network.layers.state_dict().values()])


def test_a_killed_and_resumed_run_matches_an_uninterrupted_one(
    tmp_path: Path, spec: NetworkSpec, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TrainingRun(tmp_path / "whole", new_network(spec), batches, 3)
    whole.run(checkpoints=frozenset(), validate=None, callbacks=silent())

    monkeypatch.setattr("zfscope.training.run.SAVE_EVERY_S", 0.0)
    killed = TrainingRun(tmp_path / "killed", new_network(spec), batches, 3)
    assert not killed.resume()
    steps = 0

    def kill(done: int, left: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 7:
            raise Killed

    with pytest.raises(Killed):
        killed.run(
            checkpoints=frozenset(),
            validate=None,
            callbacks=TrainingCallbacks(photos=kill, epoch=lambda row: None, warn=lambda text: None),
        )
    resumed = TrainingRun(tmp_path / "killed", new_network(spec), batches, 3)
    assert resumed.resume()
    assert (resumed.progress.epoch, resumed.progress.step) == (1, 2)
    resumed.run(checkpoints=frozenset(), validate=None, callbacks=silent())
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=0)
    assert [row["train_loss"] for row in resumed.progress.history] == [
        row["train_loss"] for row in whole.progress.history
    ]


def test_a_run_learns_two_colours_and_writes_its_history(
    tmp_path: Path, network: Network, batches: Batches
) -> None:
    run, rows = TrainingRun(tmp_path, network, batches, 12), []
    run.run(
        checkpoints=frozenset({2}),
        validate=lambda size: MeasuredAccuracy(top1=float(size), top5=100.0, images=1),
        callbacks=TrainingCallbacks(
            photos=lambda done, left: None, epoch=rows.append, warn=lambda text: None
        ),
    )
    history = json.loads((tmp_path / "history.json").read_text())
    assert history == rows
    assert history[-1]["train_loss"] < 0.3 < history[0]["train_loss"]
    assert history[-1]["val_top1"] == 32.0
    assert {"epoch", "size", "lr", "roughness", "lost_filters", "dead_conv1", "images_per_second"} <= set(
        history[0]
    )


def test_checkpoints_contain_the_convolutional_layers_in_half_precision(
    tmp_path: Path, network: Network, batches: Batches
) -> None:
    run = TrainingRun(tmp_path, network, batches, 3)
    run.run(checkpoints=frozenset({1}), validate=None, callbacks=silent())
    checkpoints = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert checkpoints == ["epoch-001.safetensors", "epoch-003.safetensors"]
    last = load_file(tmp_path / "checkpoints" / "epoch-003.safetensors")
    assert set(last) == {"conv1.weight", "conv1.bias"}
    torch.testing.assert_close(last["conv1.weight"], network.filters["conv1"].weight.detach().half())


def test_layer_names_with_dots_can_be_trained_and_resumed(
    tmp_path: Path, spec: NetworkSpec, batches: Batches
) -> None:
    """Weights, history and checkpoints equal those with plain names."""
    layers = tuple(layer.model_copy(update={"name": f"layer.0.{layer.name}"}) for layer in spec.layers)
    runs = {"plain": spec, "dotted": spec.model_copy(update={"layers": layers})}
    for name, network_spec in runs.items():
        TrainingRun(tmp_path / name, new_network(network_spec), batches, 1).run(
            checkpoints=frozenset(), validate=None, callbacks=silent()
        )
        resumed = TrainingRun(tmp_path / name, new_network(network_spec), batches, 1)
        assert resumed.resume()
        assert resumed.progress.epoch == 1
    checkpoints = [load_file(tmp_path / name / "checkpoints" / "epoch-001.safetensors") for name in runs]
    assert checkpoints[1].keys() == {"layer.0.conv1.weight", "layer.0.conv1.bias"}
    for part, tensor in checkpoints[0].items():
        assert torch.equal(checkpoints[1][f"layer.0.{part}"], tensor)


def test_a_run_of_an_older_version_is_resumed(tmp_path: Path, spec: NetworkSpec, batches: Batches) -> None:
    """Older versions saved the whole network spec, with all defaults."""
    run = TrainingRun(tmp_path, new_network(spec), batches, 3)
    run.save()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    state["identity"]["network"] = spec.model_dump_json()
    torch.save(state, tmp_path / "state.pt")
    assert run.resume()
    run.save()
    assert torch.load(tmp_path / "state.pt", weights_only=True)["identity"]["network"] == spec.fingerprint
    state["identity"]["network"] = spec.model_copy(update={"input_size": 31}).model_dump_json()
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(InputError, match="holds a run that differs in network; use the same settings"):
        run.resume()


def test_a_run_with_other_settings_is_not_resumed(tmp_path: Path, network: Network, batches: Batches) -> None:
    TrainingRun(tmp_path, network, batches, 3).save()
    with pytest.raises(InputError, match="holds a run that differs in epochs; use the same settings"):
        TrainingRun(tmp_path, network, batches, 4).resume()


@pytest.mark.parametrize("content", [b"", b"PK cut off", None])
def test_a_damaged_state_is_rejected_with_a_remedy(
    tmp_path: Path, network: Network, batches: Batches, content: bytes | None
) -> None:
    TrainingRun(tmp_path, network, batches, 3).save()
    state = tmp_path / "state.pt"
    if content is None:
        torch.save({"network": {}}, state)
    else:
        state.write_bytes(content)
    with pytest.raises(
        InputError, match=r"state.pt' is damaged or not the state of a run; .* remove '"
    ) as caught:
        TrainingRun(tmp_path, network, batches, 3).resume()
    assert caught.value.field == "out"


def test_a_loss_that_stays_at_chance_level_causes_a_warning(
    tmp_path: Path, network: Network, batches: Batches
) -> None:
    with torch.no_grad():
        for filters in network.filters.values():
            filters.weight.zero_()
    warnings: list[str] = []
    TrainingRun(tmp_path, network, batches, 1).run(
        checkpoints=frozenset(), validate=None, callbacks=silent(warnings.append)
    )
    assert len(warnings) == 1
    assert "close to that of guessing, ln(classes) = 0.693" in warnings[0]


def test_the_plateau_schedule_uses_the_loss_without_validation(
    tmp_path: Path, network: Network, batches: Batches
) -> None:
    run = TrainingRun(tmp_path, network, batches, 9)
    plateau = batches.recipe.model_copy(update={"schedule": "plateau"})
    run.batches = Batches(batches.squares, batches.targets, batches.preprocessing, plateau, seed=5)
    run.progress.history = [{"train_loss": loss} for loss in (1.0, 2.0, 2.0, 2.0)]
    assert run._rate() == pytest.approx(0.001)


@pytest.mark.parametrize("seed", [20_000_000, 2**63 - 1])
def test_any_seed_can_be_used(tmp_path: Path, network: Network, batches: Batches, seed: int) -> None:
    run = TrainingRun(tmp_path, network, replace(batches, seed=seed), 1)
    run.run(checkpoints=frozenset(), validate=None, callbacks=silent())
    assert run.progress.epoch == 1


def test_a_loss_that_is_not_finite_stops_the_run_with_a_remedy(
    tmp_path: Path, network: Network, batches: Batches
) -> None:
    with torch.no_grad():
        network.filters["fc3"].bias.fill_(torch.nan)
    run = TrainingRun(tmp_path, network, batches, 1)
    with pytest.raises(InputError, match="epoch 1: the loss is not finite") as caught:
        run.run(checkpoints=frozenset(), validate=None, callbacks=silent())
    assert caught.value.field == "recipe"
    assert not (tmp_path / "state.pt").exists()


def test_a_truncated_state_is_rejected_with_a_remedy(
    tmp_path: Path, network: Network, batches: Batches
) -> None:
    run = TrainingRun(tmp_path, network, batches, 3)
    run.save()
    state = tmp_path / "state.pt"
    whole = state.read_bytes()
    for length in (100, len(whole) // 2, len(whole) - 100):
        state.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"state\.pt' is damaged .* remove '"):
            run.resume()


def test_a_state_whose_weights_do_not_fit_is_damaged(
    tmp_path: Path, network: Network, batches: Batches
) -> None:
    run = TrainingRun(tmp_path, network, batches, 3)
    run.save()
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.save(saved | {"network": {}}, tmp_path / "state.pt")
    with pytest.raises(InputError, match=r"state\.pt' is damaged .* remove '"):
        run.resume()
