"""`zfscope compare`, in process and against a service."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zfscope.cli.compare import MOST_PHOTOS, chosen
from zfscope.errors import InputError

Run = Callable[..., Any]


@pytest.mark.parametrize("there", [False, True])
def test_models_are_put_side_by_side(run: Run, photo: Path, server: str, tmp_path: Path, there: bool) -> None:
    where = ["--server", server] if there else []
    words = ["compare", photo, "--models", "tiny:1,tiny", "--out", tmp_path / "out", "--json", *where]
    answer = json.loads(run(*words).stdout)
    assert answer["files"] == [str(tmp_path / "out" / "architectures.png")]
    row = answer["tables"]["architectures"][0]
    assert {"measure", "tiny 1", "tiny 2"} == set(row)


def test_a_person_gets_a_table(run: Run, photo: Path, tmp_path: Path) -> None:
    text = run("compare", photo, "--models", "tiny:1,tiny:2", "--out", tmp_path).stdout
    assert "Architectures compared" in text
    assert str(tmp_path / "architectures.png") in text.replace("\n", "")


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ("tiny", "others is \\(?\\[?.*at least 1 item"),
        ("tiny:one,tiny", "named as NAME or NAME:VERSION"),
        ("tiny,nobody", "no model 'nobody'"),
    ],
)
def test_what_does_not_compare_is_said_in_one_line(run: Run, photo: Path, models: str, told: str) -> None:
    result = run("compare", photo, "--models", models)
    assert result.code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert re.search(told, result.stderr)


def test_of_a_folder_some_photos_are_taken_evenly_spaced(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.jpg").touch()
    (tmp_path / "notes.txt").touch()
    found = [path.name for path in chosen([tmp_path, Path("own.png")])]
    assert len(found) == MOST_PHOTOS + 1
    assert found[:3] == ["00.jpg", "02.jpg", "05.jpg"]
    assert found[-1] == "own.png"


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="holds no photos"):
        chosen([tmp_path])
