"""Fine-tuning of models of the store, whatever the kinds of their layers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.imported_networks import (
    COLOURS,
    SIZE,
    add_model,
    residual,
    scores_after_pooling,
    squeeze_and_excitation,
    squeezenet_like,
    without_classes,
)
from tests.training.conftest import QUIET, interrupt, write_photos
from zfscope.errors import InputError, ZfscopeError
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Flatten, Linear
from zfscope.store import Model, ModelStore
from zfscope.training.optimise import make_optimizer
from zfscope.training.recipe import load_recipe
from zfscope.training.session import TrainingSession
from zfscope.training.settings import TrainingSettings
from zfscope.training.start import TrainingStart, initial_network, training_start

GREY = Preprocessing(short_side=36, centre=36, crop=SIZE, channels="grey", mean=(60.0,), std=(30,))
RECIPE = """
summary = "for tests"
optimizer = "adamw"
learning_rate = 0.003
new_layer_rate = 10.0
schedule = "cosine"
batch = 4
filter_rms = 0.0
mean = "model"
crop = "random"
"""


@pytest.fixture
def tuning(tmp_path: Path) -> Callable[..., TrainingSettings]:
    """Returns the settings for fine-tuning a model on photos of two colours."""
    (tmp_path / "tune.toml").write_text(RECIPE)
    data, validation = (
        write_photos(tmp_path / "train", count=8),
        write_photos(tmp_path / "val", count=4, seed=1),
    )

    def settings(source: Model, **changes: object) -> TrainingSettings:
        chosen = TrainingSettings(
            data=data,
            validation=validation,
            out=tmp_path / "run",
            name="tuned",
            source=source,
            recipe=str(tmp_path / "tune.toml"),
            epochs=5,
        )
        return replace(chosen, **changes)  # type: ignore[arg-type]

    return settings


@pytest.mark.parametrize(
    "spec",
    [residual(), squeeze_and_excitation(), squeezenet_like(), scores_after_pooling(), without_classes()],
    ids=lambda spec: spec.name,
)
def test_any_network_learns_new_classes(
    tuning: Callable[..., TrainingSettings], tmp_path: Path, spec: NetworkSpec
) -> None:
    source = add_model(tmp_path / "store", spec)
    session = TrainingSession(tuning(source))
    session.train(QUIET)
    folder = session.publish(tmp_path / "store")
    tuned = ModelStore(tmp_path / "store").load("tuned")
    ModelStore(tmp_path / "store").verify("tuned")
    assert tuned.manifest.accuracy is not None
    assert tuned.manifest.accuracy.top1 == 100
    assert [label.id for label in tuned.labels] == ["blue", "red"]
    assert (tuned.preprocessing, tuned.manifest.preprocessing_assumed) == (COLOURS, True)
    origin = f"{spec.name}:1, weights SHA-256 {source.weights_sha256}"
    assert (tuned.manifest.provenance.tuned_from, tuned.manifest.provenance.licence) == (origin, "MIT")
    card = (folder / "README.md").read_text()
    assert f"Started from {origin}." in card
    assert f"{spec.name} version 1, fine-tuned on 16 photos." in card
    assert "Licence of the weights: MIT." in card


def test_a_network_of_one_channel_can_be_tuned(
    tuning: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    settings = tuning(add_model(tmp_path / "store", residual(channels=1), GREY), epochs=10)
    for path in (*tmp_path.glob("train/blue/*"), *tmp_path.glob("val/blue/*")):
        Image.new("RGB", (40, 40), (20, 20, 60)).save(path)
    session = TrainingSession(settings)
    session.train(QUIET)
    session.publish(tmp_path / "store")
    tuned = ModelStore(tmp_path / "store").load("tuned")
    assert (tuned.preprocessing, tuned.spec.input_channels) == (GREY, 1)
    assert tuned.manifest.accuracy is not None
    assert tuned.manifest.accuracy.top1 == 100


def test_training_starts_from_all_weights_but_the_class_scores(
    tuning: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    source = add_model(tmp_path / "store", residual())
    settings, recipe = tuning(source), load_recipe("fine-tune")
    start = training_start(replace(settings, recipe=""), recipe, 2)
    state = initial_network(start, settings, recipe).layers.state_dict()
    kept = {name for name in state if not name.startswith("fc.")}
    for name in kept:
        assert np.array_equal(state[name].numpy(), source.weights.arrays()[name])
    assert state["fc.weight"].shape == (2, 8)
    assert 0 < state["fc.weight"].std() < 0.03
    assert not state["fc.bias"].any()
    assert all(parameter.requires_grad for parameter in initial_network(start, settings, recipe).parameters())


def test_initial_deviations_are_given_by_names_and_unique_suffixes(
    tuning: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    settings = replace(tuning(add_model(tmp_path / "store", residual())), source=None)
    deviations = {"conv2": 1e-3, "*": 10.0, "fc": 1e-6}
    recipe = load_recipe("modern").model_copy(update={"initial_deviation": deviations})
    filters = initial_network(TrainingStart(residual(), COLOURS), settings, recipe).filters
    assert 0 < filters["block.conv2"].weight.abs().max() < 1e-2
    assert 0 < filters["fc"].weight.abs().max() < 1e-5
    assert filters["stem.conv"].weight.abs().max() > 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("conv9",), r"layer 'conv9' not found; available: stem\.conv, .*"),
        (("conv2", "block.conv2"), r"layer 'block\.conv2' is named more than once"),
    ],
)
def test_initial_deviations_of_unknown_and_repeated_layers_are_rejected(
    tuning: Callable[..., TrainingSettings], tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    settings = replace(tuning(add_model(tmp_path / "store", residual())), source=None)
    recipe = load_recipe("modern").model_copy(update={"initial_deviation": dict.fromkeys(names, 0.1)})
    with pytest.raises(ZfscopeError, match=message) as caught:
        initial_network(TrainingStart(residual(), COLOURS), settings, recipe)
    assert caught.value.field.startswith("recipe.initial_deviation[")


def test_new_layers_learn_faster_and_weights_per_map_do_not_decay() -> None:
    network, recipe = build(residual()), load_recipe("fine-tune")
    groups = make_optimizer(network, recipe, {"fc"}).param_groups
    rates = {id(parameter): group["share"] for group in groups for parameter in group["params"]}
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert set(rates) == {id(parameter) for parameter in network.parameters()}
    filters = network.filters
    assert rates[id(filters["fc"].weight)] == rates[id(filters["fc"].bias)] == recipe.new_layer_rate
    assert rates[id(filters["stem.conv"].weight)] == rates[id(filters["block.norm"].weight)] == 1
    assert decay[id(filters["stem.conv"].weight)] == decay[id(filters["fc"].weight)] == recipe.weight_decay
    assert decay[id(filters["block.norm"].weight)] == decay[id(filters["stem.conv"].bias)] == 0


@pytest.mark.parametrize("spec", [residual(), squeeze_and_excitation()], ids=lambda spec: spec.name)
def test_photos_of_several_sizes_can_be_trained_on(
    tuning: Callable[..., TrainingSettings], tmp_path: Path, spec: NetworkSpec
) -> None:
    recipe = RECIPE + "[[phases]]\nsize = 24\n[[phases]]\nstart = 0.5\nsize = 40\n"
    (tmp_path / "sizes.toml").write_text(recipe)
    source = add_model(tmp_path / "store", spec)
    session = TrainingSession(tuning(source, recipe=str(tmp_path / "sizes.toml"), epochs=2))
    session.train(QUIET)
    assert [row["size"] for row in session.run.progress.history] == [24, 40]


def test_an_interrupted_run_resumes_to_the_same_weights(
    tuning: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    settings = tuning(add_model(tmp_path / "store", residual()), epochs=2)
    whole = TrainingSession(replace(settings, out=tmp_path / "whole"))
    whole.train(QUIET)
    interrupt(settings)
    resumed = TrainingSession(settings)
    assert (resumed.resumed, resumed.run.progress.epoch) == (True, 1)
    resumed.train(QUIET)
    for name, expected in whole.run.network.layers.state_dict().items():
        assert torch.equal(resumed.run.network.layers.state_dict()[name], expected), name


def test_a_run_does_not_resume_from_another_model(
    tuning: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    settings = tuning(add_model(tmp_path / "store", residual()), epochs=2)
    interrupt(settings)
    other = add_model(tmp_path / "other", residual(), seed=1)
    with pytest.raises(InputError, match="holds a run that differs in tuned model; use the same settings"):
        TrainingSession(replace(settings, source=other))


def test_checkpoints_of_a_tuned_network_can_be_loaded(
    tuning: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    """They contain the weights per map of the convolutional part as well."""
    session = TrainingSession(
        tuning(add_model(tmp_path / "store", residual()), checkpoints=(1,), epochs=2, validation=None)
    )
    session.train(QUIET)
    session.publish(tmp_path / "store")
    early = ModelStore(tmp_path / "store").load_checkpoint("tuned", 1)
    assert early.network.spec.scores == "pool"
    assert "block.norm.weight" in early.weights.arrays()


def test_a_mean_image_is_taken_from_the_model(
    tuning: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    preprocessing = COLOURS.model_copy(update={"mean": "image"})
    source = add_model(tmp_path / "store", residual(), preprocessing)
    session = TrainingSession(tuning(source, epochs=1, validation=None))
    session.train(QUIET)
    session.publish(tmp_path / "store")
    tuned = ModelStore(tmp_path / "store").load("tuned")
    assert source.mean_image is not None
    assert tuned.mean_image is not None
    assert np.array_equal(tuned.mean_image, source.mean_image)
    (tmp_path / "sizes.toml").write_text(RECIPE + "[[phases]]\nsize = 24\n")
    with pytest.raises(InputError, match="photos of 24 pixels do not fit the mean image"):
        TrainingSession(tuning(source, recipe=str(tmp_path / "sizes.toml"), out=tmp_path / "sizes"))


@pytest.mark.parametrize("recipe", ["modern", "paper"])
def test_a_recipe_with_its_own_mean_is_rejected(
    tuning: Callable[..., TrainingSettings], tmp_path: Path, recipe: str
) -> None:
    source = add_model(tmp_path / "store", residual())
    with pytest.raises(InputError, match=f"recipe '{recipe}' has mean = .* use recipe 'fine-tune'") as caught:
        TrainingSession(tuning(source, recipe=recipe))
    assert caught.value.field == "recipe"


def test_the_recipe_for_fine_tuning_needs_a_model(tuning: Callable[..., TrainingSettings]) -> None:
    settings = tuning(None, recipe="fine-tune", network="zfnet")
    with pytest.raises(InputError, match="recipe 'fine-tune' fine-tunes a model, but none is given"):
        TrainingSession(settings)


def test_a_network_without_convolutions_is_rejected(
    tuning: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    layers = (Flatten(name="flatten"), Linear(name="fc", units=3))
    source = add_model(tmp_path / "store", NetworkSpec(name="flat", input_size=SIZE, layers=layers))
    with pytest.raises(InputError, match="model 'flat' version 1 has no convolution"):
        TrainingSession(tuning(source))
