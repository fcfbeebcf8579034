"""`zfscope train`, on a handful of photos."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import invoke
from zfscope.store import ModelStore

Run = Callable[..., Any]

RECIPE = """
summary = "a few steps"
optimizer = "sgd"
learning_rate = 1e-5
schedule = "cosine"
batch = 2
crop = "random"
mean = "channels"

[[phases]]
start = 0.0
size = 64
"""


def write_data(root: Path) -> Path:
    """Write two photos per class for two classes, a recipe and labels; return the folder of the photos."""
    generator = np.random.default_rng(3)
    for label in ("n01", "n02"):
        (root / "photos" / label).mkdir(parents=True)
        for number in range(2):
            blobs = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            photo = Image.fromarray(blobs).resize((64, 64), Image.Resampling.BICUBIC)
            photo.save(root / "photos" / label / f"{number}.png")
    (root / "few.toml").write_text(RECIPE)
    (root / "labels.txt").write_text("n01 red bus\n\nn02 cat\n")
    return root / "photos"


def train_in(root: Path, *options: object) -> Any:
    """Train on the photos in a folder for one epoch, and add the model to a store there."""
    always = ["--recipe", root / "few.toml", "--epochs", 1, "--hidden", 4, "--out", root / "run"]
    return invoke("train", root / "photos", *always, "--store", root / "trained", *options, env={})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path)


@pytest.fixture(autouse=True, scope="module")
def allocator_unchanged() -> Iterator[None]:
    """Training changes allocator settings, which would affect the whole process of the tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("zfscope.allocator.keep_freed_memory", lambda: None)
        yield


@pytest.fixture
def train(data: Path, tmp_path: Path) -> Run:
    """Runs a short training, with a separate store."""
    return partial(train_in, tmp_path)


@dataclass(frozen=True)
class FinishedTraining:
    """A finished training: its folder, and the result of the command."""

    root: Path
    result: Any


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> FinishedTraining:
    """A training with validation photos, named classes and a checkpoint. Tests must not modify it."""
    root = tmp_path_factory.mktemp("validated")
    options = ["--validation", write_data(root), "--labels", root / "labels.txt", "--checkpoints", "1"]
    return FinishedTraining(root, train_in(root, *options, "--name", "brief", "--json"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> FinishedTraining:
    """A training without options; a test resumes its run."""
    root = tmp_path_factory.mktemp("plain")
    write_data(root)
    return FinishedTraining(root, train_in(root))


def test_a_trained_model_is_added_to_the_store(validated: FinishedTraining) -> None:
    assert validated.result.code == 0, validated.result.stderr
    store = validated.root / "trained"
    counts = {"images": 4, "skipped": 0, "skipped_photos": [], "passed_over": {}}
    assert json.loads(validated.result.stdout) == {
        "model": "brief",
        "version": 1,
        "folder": str(store / "brief" / "1"),
        **counts,
        "validation": counts,
    }
    manifest = ModelStore(store).verify("brief")
    assert [(label.id, label.name) for label in manifest.labels] == [("n01", "red bus"), ("n02", "cat")]
    assert manifest.accuracy is not None
    assert manifest.accuracy.images == 4
    assert [checkpoint.epoch for checkpoint in manifest.checkpoints] == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hidden", 4], "--hidden 4 cannot be combined with --from: the network is that of 'brief'"),
        (["--recipe", "modern"], "recipe 'modern' has mean = \"channels\", but a tuned model keeps its"),
        (["--from", "other"], "model 'other' not found; available: brief"),
        (["--from", "brief:2"], "model 'brief' has no version 2; available: 1"),
        (["--from", "brief:x"], "--from: 'brief:x' is not a valid model; use NAME or NAME:VERSION"),
        (["--teacher", "other"], "model 'other' not found; available: brief"),
        (["--teacher", "brief:x"], "--teacher: 'brief:x' is not a valid model; use NAME or NAME:VERSION"),
        (["--recipe", "match"], "recipe 'match' matches layers with a teacher, but none is given"),
    ],
)
def test_options_that_do_not_suit_fine_tuning_are_rejected(
    validated: FinishedTraining, tmp_path: Path, options: list[object], message: str
) -> None:
    always = ["--from", "brief", "--store", validated.root / "trained", "--out", tmp_path / "run"]
    result = invoke("train", validated.root / "photos", *always, *options, env={})
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_model_of_the_store_is_fine_tuned(validated: FinishedTraining, tmp_path: Path) -> None:
    """The network of the model is kept, with scores for the classes of the data."""
    photos, store = validated.root / "photos", validated.root / "trained"
    (tmp_path / "tuned" / "photos").mkdir(parents=True)
    for name in ("n01", "n02", "n03"):
        (tmp_path / "tuned" / "photos" / name).symlink_to(photos / ("n01" if name == "n03" else name))
    data, out = tmp_path / "tuned" / "photos", tmp_path / "run"
    options = ["--epochs", 1, "--out", out, "--store", store, "--json"]
    result = invoke("train", data, "--from", "brief:1", *options, env={})
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["model"] == "brief-photos"
    source, tuned = ModelStore(store).load("brief"), ModelStore(store).load("brief-photos")
    assert [layer.name for layer in tuned.spec.layers] == [layer.name for layer in source.spec.layers]
    assert [label.id for label in tuned.labels] == ["n01", "n02", "n03"]
    assert (tuned.preprocessing, tuned.manifest.provenance.recipe) == (source.preprocessing, "fine-tune")


def test_another_network_starts_from_a_model_and_learns_from_it(
    validated: FinishedTraining, tmp_path: Path
) -> None:
    store = copytree(validated.root / "trained", tmp_path / "trained")
    recipe = RECIPE.replace('mean = "channels"', 'mean = "model"').replace("size = 64", "size = 96")
    (tmp_path / "taught.toml").write_text(recipe)
    options = ["--network", "alexnet", "--hidden", 4, "--recipe", tmp_path / "taught.toml", "--epochs", 1]
    always = ["--out", tmp_path / "run", "--store", store, "--name", "pupil"]
    models = ["--from", "brief", "--teacher", "brief"]
    result = invoke("train", validated.root / "photos", *models, *options, *always, env={})
    assert result.code == 0, result.stderr
    pupil, brief = ModelStore(store).load("pupil"), ModelStore(store).load("brief")
    assert pupil.spec.name == "alexnet"
    origin = f"brief:1, weights SHA-256 {brief.weights_sha256}"
    assert (pupil.manifest.provenance.tuned_from, pupil.manifest.provenance.taught_by) == (origin, origin)
    assert pupil.manifest.summary == "alexnet, started from filters of brief version 1, trained on 4 photos"
    assert pupil.weights.half


def test_each_epoch_prints_a_line_to_stderr(validated: FinishedTraining) -> None:
    warning, line, *_ = validated.result.stderr.splitlines()
    assert warning.startswith(
        "zfscope: warning: 4 of the 4 validation photos are also training photos ('n01/0.png' is "
    )
    assert line.startswith("epoch 1 of 1: loss ")
    assert "top-1 " in line
    assert line.endswith(" photos/s, 0 min left")


def test_text_output_names_the_folder_of_the_model(plain: FinishedTraining) -> None:
    folder = plain.root / "trained" / "zfnet-photos" / "1"
    expected = f"Model written to {folder}; inspect it with: zfscope models zfnet-photos --store "
    assert plain.result.stdout.startswith(expected)


def test_an_existing_model_is_reported_before_the_training(train: Run, tmp_path: Path) -> None:
    (tmp_path / "trained" / "zfnet-photos" / "1").mkdir(parents=True)
    result = train()
    assert (result.code, result.stdout) == (2, "")
    assert "model 'zfnet-photos' version 1 already exists in " in result.stderr
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_resumed(plain: FinishedTraining) -> None:
    assert plain.result.code == 0
    result = train_in(plain.root, "--name", "two")
    assert result.code == 0
    assert result.stderr == f"resuming the run in '{plain.root / 'run'}' after epoch 1\n"
    assert (plain.root / "trained" / "two" / "1" / "model.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--network", "resnet"], "unknown network 'resnet'; available: zfnet, zfnet-b, alexnet"),
        (["--classes", "3"], "has 2 classes, but classes is set to 3"),
        (["--classes", "many"], "classes: 'many' is not a whole number"),
        (["--checkpoints", "1,x"], "checkpoints: 'x' is not a whole number"),
        (["--recipe", "best"], "recipe 'best' not found; available: fine-tune, match, modern, paper"),
        (["--recipe", "fine-tune"], "recipe 'fine-tune' fine-tunes a model, but none is given; name it with"),
        (["--labels", "nowhere.txt"], "labels 'nowhere.txt' cannot be read"),
        (["--name", "No/name"], "name 'No/name' must match"),
        (["--checkpoints", "1,2"], "checkpoints contains epoch 2; allowed: 1 to 1"),
        (["--seed", "-1"], "seed is -1; allowed: 0 to "),
        (
            ["--store", "/dev/null/store"],
            "not below a file; choose another --store",
        ),
        (
            ["--out", "/dev/null/run"],
            "not below a file; choose another --out",
        ),
    ],
)
def test_an_invalid_option_is_reported_in_one_line(train: Run, options: list[str], message: str) -> None:
    result = train(*options)
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_broken_photos_and_ignored_files_are_reported_but_not_fatal(train: Run, data: Path) -> None:
    (data / "n01" / "broken.jpg").write_text("not a photo")
    (data / "n01" / ".ipynb_checkpoints").mkdir()
    (data / ".ipynb_checkpoints").mkdir()
    (data / "n02" / "loop").symlink_to("loop")
    (data / "loose.png").write_bytes((data / "n01" / "0.png").read_bytes())
    result = train("--name", "one")
    assert result.code == 0, result.stderr
    reason = "the file is not an image"
    assert result.stderr.startswith(f"zfscope: warning: photo 'n01/broken.jpg' is skipped: {reason}")
    assert result.stdout.splitlines()[-1].startswith(
        f"Trained on 4 photos; 1 could not be used ('n01/broken.jpg': {reason}"
    )
    assert result.stdout.endswith(
        "; skipped: 2 hidden files or folders, 1 circular link ('n02/loop'), "
        "1 photo outside the class folders ('loose.png').\n"
    )
    answer = json.loads(train("--name", "two", "--json").stdout)
    assert (answer["images"], answer["skipped"]) == (4, 1)
    assert answer["skipped_photos"][0]["path"] == "n01/broken.jpg"
    assert answer["passed_over"] == {"hidden": 2, "loop": 1, "unclassified": 1}


def test_a_photo_moved_since_the_run_started_is_rejected_in_one_line(train: Run, data: Path) -> None:
    assert train("--name", "one").code == 0
    (data / "n01" / "0.png").rename(data / "n02" / "9.png")
    result = train("--name", "two")
    assert (result.code, result.stdout) == (2, "")
    assert (
        "holds a run with other photos; since it started: 1 moved ('n01/0.png' to 'n02/9.png')"
        in result.stderr
    )
    assert result.stderr.count("\n") == 1


def test_a_class_without_a_name_is_reported_in_one_line(train: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("n01 red bus\nn02\n")
    result = train("--labels", tmp_path / "labels.txt")
    assert (result.code, result.stdout) == (2, "")
    assert "'n02' has no name; expected: n01440764 tench" in result.stderr
