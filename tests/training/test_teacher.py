"""What a network learns from a teacher: class scores and maps of a model."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.support.imported_networks import (
    COLOURS,
    SIZE,
    add_model,
    residual,
    squeezenet_like,
    without_classes,
)
from tests.training.conftest import QUIET, interrupt, write_photos
from zfscope.errors import InputError, NotFound, ZfscopeError
from zfscope.images.normalise import normalise
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.alexnet import alexnet
from zfscope.networks.layers import Conv, ReLU
from zfscope.networks.windows import Padding
from zfscope.networks.zfnet import zfnet
from zfscope.runtimes import create_runtime
from zfscope.store import Model, ModelStore
from zfscope.training.batches import Batches
from zfscope.training.recipe import Teaching, load_recipe
from zfscope.training.session import TrainingSession
from zfscope.training.settings import TrainingSettings
from zfscope.training.teacher import TeacherHead, centre_offset, new_teacher, scores_loss, unexplained

CAFFE = Preprocessing(short_side=36, centre=36, crop=SIZE, channels="BGR", mean=(104.0, 117.0, 123.0))
RECIPE = """
summary = "for tests"
optimizer = "adamw"
learning_rate = 0.003
schedule = "cosine"
batch = 4
filter_rms = 0.0
mean = "model"
crop = "random"
[teaching]
"""


@pytest.fixture
def taught(tmp_path: Path) -> Callable[..., TrainingSettings]:
    """Returns the settings for training a model with a teacher, and a recipe with a table of teaching."""
    data = write_photos(tmp_path / "train", count=8)

    def settings(
        source: Model, teacher: Model | None, teaching: str = "", **changes: object
    ) -> TrainingSettings:
        (tmp_path / "taught.toml").write_text(RECIPE + teaching)
        chosen = TrainingSettings(
            data=data,
            out=tmp_path / "run",
            name="pupil",
            source=source,
            teacher=teacher,
            recipe=str(tmp_path / "taught.toml"),
            epochs=3,
        )
        return replace(chosen, **changes)  # type: ignore[arg-type]

    return settings


def test_maps_that_are_equal_or_level_explain_all_or_nothing() -> None:
    taught = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    own = torch.cat([taught, torch.randn(3, 1, 4, 4)], 1)  # the map that the teacher lacks does not count
    assert unexplained(own, taught) == 0
    level = taught.mean((0, 2, 3), keepdim=True).expand_as(taught)
    assert unexplained(level, taught).item() == pytest.approx(1)
    halved = level + (taught - level) / 2
    assert unexplained(halved, taught).item() == pytest.approx(0.25)


def test_larger_maps_of_a_teacher_are_averaged() -> None:
    taught = torch.tensor([[[[1.0, 1, 4, 4], [1, 1, 4, 4]] * 2]])
    own = F.interpolate(taught, size=(2, 2), mode="bilinear", antialias=True)
    assert unexplained(own, taught).item() == pytest.approx(0, abs=1e-12)


def test_units_are_compared_as_maps_are() -> None:
    taught = torch.tensor([[0.0, 2.0], [2.0, 0.0]])
    assert unexplained(torch.ones(2, 2), taught).item() == pytest.approx(1)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_of_scores_has_the_gradient_of_the_divergence(temperature: float) -> None:
    own, taught = torch.randn(5, 7, requires_grad=True), torch.randn(5, 7)
    (gradient,) = torch.autograd.grad(scores_loss(own, taught, temperature), own)
    divergence = F.kl_div(
        (own / temperature).log_softmax(1), (taught / temperature).softmax(1), reduction="batchmean"
    )
    (expected,) = torch.autograd.grad(divergence * temperature**2, own)
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_a_teacher_sees_the_same_pixels_in_its_own_preprocessing(tmp_path: Path) -> None:
    model = add_model(tmp_path / "store", residual(), CAFFE)
    teacher = new_teacher(
        model, Teaching(match={"stem.relu": "stem.relu"}), residual(), COLOURS, device="cpu"
    )
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    lesson = teacher.lesson(torch.from_numpy(normalise(pixels, COLOURS)))
    expected = create_runtime("torch", model).outputs(normalise(pixels, CAFFE), ["stem.relu", "fc"])
    assert lesson.scores is not None
    assert torch.allclose(lesson.scores, torch.from_numpy(expected["fc"]), rtol=1e-4, atol=1e-3)
    assert torch.allclose(
        lesson.maps["stem.relu"], torch.from_numpy(expected["stem.relu"]), rtol=1e-4, atol=1e-2
    )


def test_crops_are_resized_to_the_input_of_the_teacher(tmp_path: Path) -> None:
    model = add_model(tmp_path / "store", residual(), COLOURS)
    teacher = new_teacher(model, Teaching(), residual(), COLOURS, device="cpu")
    level = torch.full((2, 3, 20, 20), 0.5)
    lesson = teacher.lesson(level)
    assert lesson.scores is not None
    expected = model.network(torch.full((2, 3, SIZE, SIZE), 0.5))
    assert torch.allclose(lesson.scores, expected, atol=1e-4)


def test_units_at_the_same_place_see_the_same_pixels(tmp_path: Path) -> None:
    """The same filters without padding: units are centred 2 pixels further down and to the right."""
    padded = NetworkSpec(
        name="padded",
        input_size=SIZE,
        layers=(
            Conv(name="one", channels=4, kernel=5, stride=4, padding=Padding(2, 2, 2, 2)),
            ReLU(name="relu"),
        ),
    )
    bare = padded.model_copy(
        update={"layers": (Conv(name="one", channels=4, kernel=5, stride=4), ReLU(name="relu"))}
    )
    model = add_model(tmp_path / "store", padded)
    teacher = new_teacher(model, Teaching(match={"relu": "relu"}), bare, COLOURS, device="cpu")
    assert teacher.offset == (2, 2)
    own = build(bare)
    own.layers.load_state_dict(model.network.layers.state_dict())
    photos = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) / 10
    maps, taught = own(photos), teacher.lesson(photos).maps["relu"]
    rows, columns = maps.shape[2:]
    inside = taught[:, :, 1 : rows - 1, 1 : columns - 1]
    assert unexplained(maps[:, :, 1:-1, 1:-1], inside) < 1e-3


def test_the_offset_is_the_distance_of_the_centres_of_receptive_fields() -> None:
    teacher = alexnet(classes=3, hidden=4)
    match = {"pool2": "pool2", "relu5": "relu5"}
    assert centre_offset(zfnet(classes=3, hidden=4), teacher, match) == (5, 5)
    assert centre_offset(teacher, teacher, match) == (0, 0)
    assert centre_offset(zfnet(), teacher, {"relu1": "relu1"}) == (0, 0)  # units are 2 and 4 pixels apart


def test_the_head_reads_what_the_class_scores_read() -> None:
    for spec, features in ((residual(), "flatten"), (squeezenet_like(), "peaks")):
        head = TeacherHead(spec, 7, torch.Generator())
        outputs = build(spec).outputs(torch.randn(2, 3, SIZE, SIZE), (head.features,))
        assert head(outputs[head.features]).shape == (2, 7), features


def test_a_network_learns_the_maps_of_its_teacher(
    taught: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    source = add_model(tmp_path / "store", residual())
    teacher = add_model(tmp_path / "others", without_classes(), seed=4)
    layer = without_classes().layers[1].name
    table = f'labels = 0.0\nmatch = {{ "stem.relu" = "{layer}" }}'
    session = TrainingSession(taught(source, teacher, table, epochs=30))
    session.train(QUIET)
    losses = [row["taught_loss"] for row in session.run.progress.history]
    assert losses[-1] < 0.3 * losses[0]


def test_a_network_learns_the_classes_of_its_teacher_and_drops_them(
    taught: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    source = add_model(tmp_path / "store", residual())
    teacher = add_model(tmp_path / "others", residual(classes=9), seed=4)
    session = TrainingSession(taught(source, teacher, "labels = 0.5", epochs=20))
    session.train(QUIET)
    losses = [row["taught_loss"] for row in session.run.progress.history]
    assert losses[-1] < losses[0]
    folder = session.publish(tmp_path / "store")
    pupil = ModelStore(tmp_path / "store").load("pupil")
    assert [label.id for label in pupil.labels] == ["blue", "red"]
    assert not [name for name in pupil.weights.arrays() if "teacher" in name]
    origin = f"residual:1, weights SHA-256 {teacher.weights_sha256}"
    assert pupil.manifest.provenance.taught_by == origin
    assert f"Taught by {origin}." in (folder / "README.md").read_text()


def test_a_killed_run_with_a_teacher_resumes_to_the_same_weights(
    taught: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    source = add_model(tmp_path / "store", residual())
    teacher = add_model(tmp_path / "others", residual(classes=9), seed=4)
    settings = taught(source, teacher, 'match = { "stem.relu" = "stem.relu" }', epochs=2)
    whole = TrainingSession(replace(settings, out=tmp_path / "whole"))
    whole.train(QUIET)
    interrupt(settings)
    resumed = TrainingSession(settings)
    assert resumed.resumed
    resumed.train(QUIET)
    expected = whole.run.network.layers.state_dict()
    for name, tensor in resumed.run.network.layers.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert json.loads((settings.out / "history.json").read_text())[1]["taught_loss"] == pytest.approx(
        whole.run.progress.history[1]["taught_loss"]
    )


def test_a_run_does_not_resume_with_another_teacher(
    taught: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    source = add_model(tmp_path / "store", residual())
    settings = taught(source, add_model(tmp_path / "others", residual(), seed=4), epochs=2)
    interrupt(settings)
    for teacher in (add_model(tmp_path / "third", residual(), seed=5), None):
        with pytest.raises(InputError, match="holds a run that differs in teacher; use the same settings"):
            TrainingSession(replace(settings, teacher=teacher))


@pytest.mark.parametrize(
    ("teacher", "preprocessing", "table", "kind", "message"),
    [
        (without_classes(), COLOURS, "", InputError, "nothing to learn from 'headless:1': it has no class"),
        (residual(), COLOURS, "scores = 0.0", InputError, "nothing to learn from 'residual:1'"),
        (residual(channels=1), None, "", InputError, "'residual:1' reads 1 channels, the network 3"),
        (residual(), COLOURS, 'match = { "fc" = "stem.relu" }', InputError, "'fc' has the shape"),
        (residual(), COLOURS, 'match = { "stem.relu" = "conv9" }', NotFound, "layer 'conv9' not found"),
        (residual(), COLOURS, 'match = { "conv9" = "fc" }', NotFound, "layer 'conv9' not found"),
    ],
)
def test_a_teacher_that_does_not_fit_is_rejected(
    taught: Callable[..., TrainingSettings],
    tmp_path: Path,
    teacher: NetworkSpec,
    preprocessing: Preprocessing | None,
    table: str,
    kind: type[ZfscopeError],
    message: str,
) -> None:
    grey = Preprocessing(short_side=36, centre=36, crop=SIZE, channels="grey", mean=(60.0,), std=(30,))
    source = add_model(tmp_path / "store", residual())
    model = add_model(tmp_path / "others", teacher, preprocessing or grey)
    with pytest.raises(kind, match=message):
        TrainingSession(taught(source, model, table))


def test_a_mean_image_and_a_teacher_do_not_go_together(
    taught: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    model = add_model(tmp_path / "store", residual(), COLOURS.model_copy(update={"mean": "image"}))
    with pytest.raises(InputError, match="mean image cannot be combined with a teacher"):
        TrainingSession(taught(model, add_model(tmp_path / "others", residual())))


def test_layers_to_match_without_a_teacher_are_rejected(
    taught: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    source = add_model(tmp_path / "store", residual())
    settings = taught(source, None, 'match = { "stem.relu" = "stem.relu" }')
    with pytest.raises(InputError, match="matches layers with a teacher, but none is given") as caught:
        TrainingSession(settings)
    assert caught.value.field == "teacher"


def test_another_network_starts_from_filters_of_a_model(
    taught: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    """ZFNet from a network with layers of the same names; fully connected layers are its own."""
    preset = Preprocessing()
    source = add_model(tmp_path / "store", zfnet(classes=3, hidden=4), preset)
    settings = taught(
        source,
        None,
        network="alexnet",
        new_network=True,
        hidden=5,
        epochs=1,
        out=tmp_path / "a",
    )
    session = TrainingSession(settings)
    network, theirs = session.run.network, source.weights.arrays()
    assert np.array_equal(network.layers.state_dict()["conv3.weight"].numpy(), theirs["conv3.weight"])
    assert np.array_equal(network.layers.state_dict()["conv1.weight"][:, :, 2:9, 2:9], theirs["conv1.weight"])
    assert network.layers.state_dict()["fc6.weight"].shape[0] == 5
    assert session.preprocessing == preset
    assert session.start.new_layers >= {"conv1", "conv2", "fc6", "fc7", "fc8"}
    assert "conv3" not in session.start.new_layers


def test_a_network_without_common_layers_is_rejected(
    taught: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    source = add_model(tmp_path / "store", residual())
    settings = taught(source, None, network="zfnet", new_network=True)
    with pytest.raises(InputError, match="have no convolution of the same name"):
        TrainingSession(settings)


def test_older_recipes_teach_nothing_but_scores(batches: Batches) -> None:
    assert load_recipe("modern").teaching == Teaching() == batches.recipe.teaching
