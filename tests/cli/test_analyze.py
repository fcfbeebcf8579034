"""`zfscope analyze` and `zfscope analyzers`, in process and against a service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]


def test_a_person_gets_a_table_of_analyzers(run: Run) -> None:
    text = run("analyzers").stdout
    assert "project" in text
    assert "zfscope 0." in text


def test_a_service_lists_the_same_analyzers(run: Run, server: str) -> None:
    here = json.loads(run("analyzers", "--json").stdout)
    there = json.loads(run("analyzers", "--json", "--server", server).stdout)
    assert here == there


def test_the_help_of_an_analyzer_lists_its_options(run: Run) -> None:
    result = run("analyze", "project", "--help")
    assert result.code == 0
    assert "--layer STRING" in result.stdout
    assert "--rank {max,sum}" in result.stdout


@pytest.mark.parametrize("there", [False, True])
def test_pictures_and_tensors_go_to_a_folder(
    run: Run, photo: Path, server: str, tmp_path: Path, there: bool
) -> None:
    out = tmp_path / "seen"
    where = ["--server", server] if there else []
    words = ["project", photo, "--layer", "conv3", "--top", 2, "--tensors", "--out", out, "--json", *where]
    answer = json.loads(run("analyze", *words).stdout)

    assert (answer["model"], answer["version"]) == ("tiny", 2)
    rows = answer["tables"]["projections"]
    assert len(rows) == 2
    assert sorted(answer["files"]) == sorted(str(path) for path in out.iterdir())
    assert (out / f"{rows[0]['picture']}.png").read_bytes().startswith(b"\x89PNG")
    assert np.load(out / "projections.npy").shape == (2, 3, 32, 32)


def test_a_person_gets_tables(run: Run, photo: Path, tmp_path: Path) -> None:
    text = run("analyze", "project", photo, "--layer", "conv3", "--top", 2, "--out", tmp_path).stdout
    assert "project, by tiny version 2: projections" in text
    assert f"3 files in {tmp_path}" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing", "photo"], "no analyzer 'nothing'; there are correspond"),
        (["project", "photo", "--speed", "3"], "unrecognized arguments: --speed 3"),
        (["project", "photo", "--top", "0"], "top is 0"),
        (["project", "photo", "--layer", "conv9"], "no layer 'conv9'; this model has conv1"),
        (["project", "photo", "photo"], "2 photos; 'project' takes 1"),
        (["project", "nowhere.jpg"], "'nowhere.jpg' cannot be read"),
        (["project"], "required: PHOTO"),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_what_cannot_be_analyzed_is_told_in_one_line_and_writes_nothing(
    run: Run, photo: Path, server: str, tmp_path: Path, words: list[str], told: str, there: bool
) -> None:
    out = tmp_path / "seen"
    given = [str(photo) if word == "photo" else word for word in words]
    result = run("analyze", *given, "--out", out, *(["--server", server] if there else []))
    assert (result.code, result.stdout) == (2, "")
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()
