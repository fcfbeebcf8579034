"""A training session interrupted between two epochs."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.conftest import interrupt, noise, settings_in
from zfscope.errors import InputError
from zfscope.training.session import TrainingSession
from zfscope.training.settings import TrainingSettings


def change_class(settings: TrainingSettings) -> None:
    (settings.data / "red" / "1.png").rename(settings.data / "blue" / "9.png")


def change_contents(settings: TrainingSettings) -> None:
    path = settings.data / "red" / "1.png"
    before = path.stat()
    path.write_bytes(noise(3)[: before.st_size].ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def change_validation(settings: TrainingSettings) -> None:
    assert settings.validation is not None
    (settings.validation / "red" / "0.png").write_bytes(noise(5))


@pytest.fixture(scope="module")
def started_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that was interrupted after the first. Read-only."""
    settings = replace(settings_in(tmp_path_factory.mktemp("started")), epochs=2)
    interrupt(settings)
    return settings.out


@pytest.fixture
def interrupted(started_run: Path, settings: TrainingSettings) -> TrainingSettings:
    shutil.copytree(started_run, settings.out)
    return replace(settings, epochs=2)


def test_a_session_resumes_with_the_same_photos(interrupted: TrainingSettings) -> None:
    warnings = list[str]()
    session = TrainingSession(interrupted, warn=warnings.append)
    assert (session.resumed, session.run.progress.epoch, warnings) == (True, 1, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_class, r"1 moved \('red/1\.png' to 'blue/9\.png'\)"),
        (change_contents, r"1 changed \('red/1\.png'\)"),
        (change_validation, r"1 changed \('red/0\.png'\)"),
    ],
)
def test_a_session_does_not_resume_with_other_photos(
    interrupted: TrainingSettings, change: Callable[[TrainingSettings], None], message: str
) -> None:
    change(interrupted)
    with pytest.raises(InputError, match=f"holds a run with other photos; since it started: {message}"):
        TrainingSession(interrupted)


def test_a_session_does_not_resume_with_other_photos_after_the_pixels_were_removed(
    interrupted: TrainingSettings,
) -> None:
    for path in interrupted.out.glob("training.p*"):
        path.unlink()
    change_contents(interrupted)
    with pytest.raises(InputError, match="holds a run that differs in photos, training photos"):
        TrainingSession(interrupted)


def test_a_session_does_not_resume_without_its_validation_photos(interrupted: TrainingSettings) -> None:
    with pytest.raises(InputError, match="holds a run that differs in validation photos"):
        TrainingSession(replace(interrupted, validation=None))


def test_a_session_does_not_resume_with_other_class_names(interrupted: TrainingSettings) -> None:
    message = r"holds a run that differs in labels \(class 'red' was labelled 'red things', now 'crimson'\)"
    with pytest.raises(InputError, match=message) as caught:
        TrainingSession(replace(interrupted, labels={"red": "crimson"}))
    assert caught.value.field == "out"


def test_labels_of_unknown_classes_make_no_difference(interrupted: TrainingSettings) -> None:
    warnings = list[str]()
    assert TrainingSession(
        replace(interrupted, labels={"red": "red things", "green": "grass"}), warn=warnings.append
    ).resumed
    assert "1 of 2 labels match no class of the data: green" in warnings


def test_a_run_of_an_older_version_causes_a_warning_about_its_photos(interrupted: TrainingSettings) -> None:
    path = interrupted.out / "state.pt"
    state = torch.load(path, weights_only=True)
    for name in ("training photos", "validation photos", "labels"):
        del state["identity"][name]
    torch.save(state, path)
    warnings = list[str]()
    assert TrainingSession(interrupted, warn=warnings.append).resumed
    assert "was started by an older version, which did not record its photos" in warnings[0]
