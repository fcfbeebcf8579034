"""Sessions: from an image folder to a model in a store."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.conftest import QUIET, RECIPE, noise
from zfscope.errors import CannotWrite, InputError, NotFound, RuntimeUnavailable
from zfscope.files import locked
from zfscope.store import ModelStore
from zfscope.training.evaluate import evaluate_model
from zfscope.training.session import TrainingSession
from zfscope.training.settings import TrainingSettings


def test_the_stored_accuracy_matches_that_of_evaluate(settings: TrainingSettings, tmp_path: Path) -> None:
    assert settings.validation is not None
    shutil.copy(settings.data / "red" / "1.png", settings.validation / "red" / "known.png")
    session = TrainingSession(settings)
    assert session.decoded == 7
    session.train(QUIET)
    folder = session.publish(tmp_path / "store")
    assert (settings.out / "history.png").read_bytes().startswith(b"\x89PNG")
    store = ModelStore(tmp_path / "store")
    manifest = store.verify("tiny")
    assert folder == tmp_path / "store" / "tiny" / "1"
    assert [label.name for label in manifest.labels] == ["blue", "red things"]
    assert [checkpoint.epoch for checkpoint in manifest.checkpoints] == [1]
    result = evaluate_model(store.load("tiny"), tmp_path / "val", ten_crop=False, cache=tmp_path).accuracy
    card = (folder / "README.md").read_text()
    assert "# tiny, version 1" in card
    assert f"top-1 {result.top1:.1f} %" in card
    assert "epochs 1." in card
    assert manifest.accuracy is not None
    assert (result.top1, result.images) == (manifest.accuracy.top1, manifest.accuracy.images)
    assert (result.images, manifest.accuracy.trained_on) == (3, 1)
    assert "1 of these photos are also training photos (by file hash)" in card


def test_the_papers_recipe_trains_with_a_mean_image(settings: TrainingSettings, tmp_path: Path) -> None:
    paper = RECIPE.replace('"channels"', '"image"').replace('"random"', '"ten"').split("[[phases]]")[0]
    (tmp_path / "paper.toml").write_text(paper)
    session = TrainingSession(replace(settings, recipe=str(tmp_path / "paper.toml"), validation=None))
    session.train(QUIET)
    session.publish(tmp_path / "store")
    model = ModelStore(tmp_path / "store").load("tiny")
    assert model.preprocessing.mean == "image"
    assert model.mean_image is not None
    assert model.manifest.accuracy is None
    assert "Accuracy was not measured" in (tmp_path / "store" / "tiny" / "1" / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"network": "vgg"}, NotFound, "unknown network 'vgg'; available: zfnet, zfnet-b, alexnet"),
        ({"name": "../up"}, InputError, "name '../up' must match"),
        ({"epochs": 0}, InputError, "epochs is 0"),
        ({"checkpoints": (0,)}, InputError, "checkpoints contains epoch 0"),
        ({"checkpoints": (1, 2)}, InputError, "checkpoints contains epoch 2; allowed: 1 to 1"),
        ({"seed": -1}, InputError, "seed is -1; allowed: 0 to 9"),
        ({"seed": 2**63}, InputError, "seed is 9.*; allowed: 0 to 9"),
        ({"labels": {"green": "grass"}}, InputError, "none of the 1 labels matches a class of the data"),
        (
            {"labels": {"red": "a\ud800"}},
            InputError,
            "the model could not be stored: name: Input should be",
        ),
        ({"hidden": 10**15}, InputError, "does not fit into memory with --hidden 10"),
        ({"classes": 10}, InputError, "has 2 classes, but classes is set to 10"),
        ({"recipe": "none"}, NotFound, "recipe 'none' not found"),
        (
            {"recipe": "small.toml"},
            InputError,
            "photos of 48 pixels do not fit the network: layer 'pool5' reads",
        ),
    ],
)
def test_invalid_settings_are_rejected_before_any_work(
    settings: TrainingSettings, change: dict[str, object], error: type[Exception], message: str
) -> None:
    if str(change.get("recipe")).endswith(".toml"):
        change = {"recipe": str(settings.out.parent / str(change["recipe"]))}
    with pytest.raises(error, match=message):
        TrainingSession(replace(settings, **change))  # type: ignore[arg-type]
    assert not list(settings.out.glob("*.pixels"))


@pytest.mark.parametrize("field", ["data", "validation"])
def test_an_invalid_class_name_is_rejected_before_any_work(settings: TrainingSettings, field: str) -> None:
    folder: Path = getattr(settings, field)
    (folder / "red").rename(folder / "r\udce9d")
    with pytest.raises(InputError, match="has a name that is not UTF-8"):
        TrainingSession(settings)
    assert not settings.out.exists()


def test_a_data_set_whose_name_is_not_utf_8_is_named_escaped(
    settings: TrainingSettings, tmp_path: Path
) -> None:
    renamed = tmp_path / "caf\udce9"
    settings.data.rename(renamed)
    session = TrainingSession(replace(settings, data=renamed, validation=None))
    session.train(QUIET)
    session.publish(tmp_path / "store")
    assert ModelStore(tmp_path / "store").verify("tiny").provenance.data.endswith("/caf\\xe9")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is available")
def test_an_unavailable_device_is_rejected_before_any_work(settings: TrainingSettings) -> None:
    with pytest.raises(RuntimeUnavailable, match="device 'cuda' is not available") as caught:
        TrainingSession(replace(settings, device="cuda"))
    assert caught.value.field == "device"
    assert not settings.out.exists()


def test_an_unwritable_run_folder_is_rejected_before_any_work(
    settings: TrainingSettings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(
        CannotWrite,
        match="not below a file; choose another --out",
    ) as caught:
        TrainingSession(replace(settings, out=tmp_path / "file" / "run"))
    assert caught.value.field == "out"


class TestBroken:
    """Photos that cannot be used."""

    def test_they_are_skipped_with_a_warning_each(self, settings: TrainingSettings, tmp_path: Path) -> None:
        (settings.data / "red" / "1.png").write_bytes(b"not a photo")
        assert settings.validation is not None
        shutil.copytree(settings.validation, tmp_path / "more")
        (tmp_path / "more" / "red" / "9.png").write_bytes(b"")
        warnings = list[str]()
        session = TrainingSession(replace(settings, validation=tmp_path / "more"), warn=warnings.append)
        assert warnings[0].startswith("photo 'red/1.png' is skipped: the file is not an image")
        assert warnings[1] == "photo 'red/9.png' is skipped: the file is empty: 0 bytes"
        assert session.decoded == 5
        assert session.training.targets.tolist() == [0, 0, 1]
        assert session.run.batches.targets.tolist() == [0, 0, 1]

    def test_a_class_without_usable_photos_is_rejected_with_the_reason(
        self, settings: TrainingSettings
    ) -> None:
        for path in (settings.data / "red").iterdir():
            path.write_bytes(b"")
        message = r"red' contains no photos \(.*\) that can be used; 'red/0\.png': the file is empty: 0 bytes"
        with pytest.raises(InputError, match=message):
            TrainingSession(settings)

    def test_only_the_first_ten_are_named(self, settings: TrainingSettings) -> None:
        for number in range(15):
            (settings.data / "red" / f"x{number:02}.png").touch()
        warnings = list[str]()
        TrainingSession(settings, warn=warnings.append)
        assert len(warnings) == 11
        assert warnings[-1] == "5 more photos are skipped"


class TestSamePhotos:
    """Photos that occur twice in the data."""

    def test_validation_photos_that_are_trained_on_are_counted(self, settings: TrainingSettings) -> None:
        assert settings.validation is not None
        shutil.copy(settings.data / "blue" / "1.png", settings.validation / "blue" / "other.png")
        (settings.validation / "blue" / "0.png").write_bytes((settings.data / "red" / "0.png").read_bytes())
        (settings.validation / "red" / "0.png").write_bytes(noise(7))
        warnings = list[str]()
        TrainingSession(settings, warn=warnings.append)
        assert warnings == [
            "2 of the 3 validation photos are also training photos ('blue/0.png' is 'red/0.png'): the "
            "measured accuracy will be too high; remove them from one of the two data sets"
        ]

    def test_a_photo_in_two_classes_causes_a_warning(self, settings: TrainingSettings) -> None:
        shutil.copy(settings.data / "blue" / "1.png", settings.data / "red" / "other.png")
        warnings = list[str]()
        TrainingSession(replace(settings, validation=None), warn=warnings.append)
        assert warnings == [
            "1 training photos are in two classes ('blue/1.png' is 'red/other.png'); remove them from one"
        ]


def test_duplicates_and_similar_class_names_cause_warnings(settings: TrainingSettings) -> None:
    for name in ("0 (1).png", "0 (2).png"):
        shutil.copy(settings.data / "blue" / "0.png", settings.data / "blue" / name)
    (settings.data / "Red").mkdir()
    (settings.data / "Red" / "new.png").write_bytes(noise(99))
    warnings = list[str]()
    TrainingSession(replace(settings, validation=None, classes=None, labels=None), warn=warnings.append)
    assert warnings == [
        "classes 'Red', 'red' differ only in case, spaces or Unicode normalisation; "
        "merge them if they are the same",
        "2 training photos are duplicates within a class ('blue/0 (1).png' is 'blue/0 (2).png'); they count "
        "more than others",
    ]


def test_missing_and_unused_labels_cause_warnings(settings: TrainingSettings) -> None:
    warnings = list[str]()
    TrainingSession(replace(settings, labels={"red": "blue", "green": "grass"}), warn=warnings.append)
    assert warnings == [
        "1 of 2 labels match no class of the data: green",
        "1 of 2 classes have no label and keep their folder names: blue. Separate a class name that "
        "contains spaces from its label with a TAB",
        "several classes have the same label: blue",
    ]


def test_two_processes_cannot_train_in_the_same_folder(settings: TrainingSettings) -> None:
    session = TrainingSession(settings)
    busy = InputError("busy")
    with (
        locked(settings.out / "lock", otherwise=busy),
        pytest.raises(InputError, match=r"another process is already training in '.*/run'") as caught,
    ):
        session.train(QUIET)
    assert caught.value.field == "out"
    assert not (settings.out / "state.pt").exists()
