"""Sessions: from an image folder to a model of a store."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.conftest import write_photos
from zfscope.errors import InputError, NotFound
from zfscope.store import ModelStore
from zfscope.training.memory import keep_freed_memory
from zfscope.training.run import Watch
from zfscope.training.session import Session, Settings, evaluate_model

RECIPE = """
summary = "for tests"
optimizer = "adamw"
learning_rate = 0.001
schedule = "cosine"
batch = 2
mean = "channels"
crop = "random"
[[phases]]
size = 64
"""
QUIET = Watch(photos=lambda done, left: None, epoch=lambda row: None, warn=lambda text: None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "quick.toml").write_text(RECIPE)
    (tmp_path / "small.toml").write_text(RECIPE.replace("64", "48"))
    return Settings(
        data=write_photos(tmp_path / "train", count=2),
        validation=write_photos(tmp_path / "val", count=1),
        out=tmp_path / "run",
        name="tiny",
        hidden=8,
        recipe=str(tmp_path / "quick.toml"),
        epochs=1,
        checkpoints=(1,),
        labels={"red": "red things"},
    )


def test_a_folder_becomes_a_model_whose_accuracy_is_what_evaluate_finds(
    settings: Settings, tmp_path: Path
) -> None:
    session = Session(settings)
    assert session.decoded == 6
    session.train(QUIET)
    folder = session.publish(tmp_path / "store")
    assert (settings.out / "history.png").read_bytes().startswith(b"\x89PNG")
    store = ModelStore(tmp_path / "store")
    manifest = store.verify("tiny")
    assert folder == tmp_path / "store" / "tiny" / "1"
    assert [label.name for label in manifest.labels] == ["blue", "red things"]
    assert [checkpoint.epoch for checkpoint in manifest.checkpoints] == [1]
    found = evaluate_model(store.load("tiny"), tmp_path / "val", ten_crop=False, cache=tmp_path)
    card = (folder / "README.md").read_text()
    assert "# tiny, version 1" in card
    assert f"top-1 {found.top1:.1f} %" in card
    assert "epochs 1." in card
    assert manifest.accuracy is not None
    assert (found.top1, found.images) == (manifest.accuracy.top1, manifest.accuracy.images)


def test_the_papers_recipe_trains_with_a_mean_image(settings: Settings, tmp_path: Path) -> None:
    paper = RECIPE.replace('"channels"', '"image"').replace('"random"', '"ten"').split("[[phases]]")[0]
    (tmp_path / "paper.toml").write_text(paper)
    session = Session(replace(settings, recipe=str(tmp_path / "paper.toml"), validation=None))
    session.train(QUIET)
    session.publish(tmp_path / "store")
    model = ModelStore(tmp_path / "store").load("tiny")
    assert model.preprocessing.mean == "image"
    assert model.mean_image is not None
    assert model.manifest.accuracy is None
    assert "No accuracy was measured" in (tmp_path / "store" / "tiny" / "1" / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"network": "vgg"}, NotFound, "no network 'vgg'; there are zfnet, zfnet-b, alexnet"),
        ({"name": "../up"}, InputError, "name '../up' must match"),
        ({"epochs": 0}, InputError, "epochs = 0"),
        ({"checkpoints": (0,)}, InputError, "checkpoints name epoch 0"),
        ({"classes": 10}, InputError, "has 2 classes, 10 were asked for"),
        ({"recipe": "none"}, NotFound, "no recipe 'none'"),
        ({"recipe": "small.toml"}, InputError, "photos of 48 pixels are too small: layer 'pool5' reads"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_before_any_work(
    settings: Settings, change: dict[str, object], error: type[Exception], message: str
) -> None:
    if str(change.get("recipe")).endswith(".toml"):
        change = {"recipe": str(settings.out.parent / str(change["recipe"]))}
    with pytest.raises(error, match=message):
        Session(replace(settings, **change))  # type: ignore[arg-type]
    assert not settings.out.exists()


def test_keeping_freed_memory_is_harmless() -> None:
    keep_freed_memory()
