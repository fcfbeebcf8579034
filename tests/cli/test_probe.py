"""`zfscope probe`."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.probe.conftest import BROKEN, write_photos
from zfscope.cli.app import app

Run = Callable[..., Any]
FEW = ("--per-class", "2,4", "--splits", "2", "--layers", "relu5,conv1")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of three classes, two of them broken. Read-only."""
    return write_photos(tmp_path_factory.mktemp("probed") / "photos")


def test_the_table_has_a_row_per_layer_and_a_column_per_size(run: Run, photos: Path, tmp_path: Path) -> None:
    text = run("probe", photos, "--model", "tiny", "--out", tmp_path / "out", *FEW).stdout
    lines = text.splitlines()
    assert lines[0].strip() == "tiny version 2"
    assert [line.split()[1] for line in lines if line.startswith("│")] == ["conv1", "relu5"]
    assert "│ 2 per class" in text.replace("┃", "│")
    assert lines[-2] == (
        "Accuracy in percent, mean and standard deviation of 2 splits: 3 classes, 13 photos to test with in "
        "each split."
    )
    assert lines[-1] == (
        f"25 photos; 2 could not be used, see features.json. Results written to {tmp_path / 'out'}"
    )


def test_json_output_has_the_same_numbers(run: Run, photos: Path, tmp_path: Path) -> None:
    options = ("--model", "tiny", "--out", tmp_path / "out", *FEW, "--test-per-class", "3", "--json")
    result = run("probe", photos, "--leave-out", "grey", *options)
    printed = json.loads(result.stdout)
    assert result.stderr == ""
    saved = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert printed["accuracies"] == saved["accuracies"]
    assert [(row["layer"], row["per_class"]) for row in printed["accuracies"]] == [
        ("conv1", 2), ("conv1", 4), ("relu5", 2), ("relu5", 4)
    ]  # fmt: skip
    expected = {"model": "tiny", "version": 2, "precision": "float32", "classes": 2, "tested": 6}
    assert expected.items() <= printed.items()
    assert {each["path"] for each in printed["skipped_photos"]} <= {*BROKEN}


def test_a_single_split_has_no_deviation(run: Run, photos: Path, tmp_path: Path) -> None:
    options = ("--per-class", "3", "--splits", "1", "--layers", "conv1", "--out", tmp_path / "out")
    text = run("probe", photos, "--model", "tiny", *options).stdout
    assert "percent, a single split: 3 classes, " in text
    assert "±" not in text


def test_tar_and_list_are_probed_like_the_folder(run: Run, photos: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    lines = (f"{path}\t{path.parent.name}" for path in sorted(photos.rglob("*/*.png")))
    listed.write_text("".join(f"{line}\n" for line in lines))
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(photos, ".")
    rows = [
        json.loads(run("probe", data, "--model", "tiny", "--out", tmp_path / out, *FEW, "--json").stdout)
        for data, out in ((photos, "a"), (listed, "b"), (tmp_path / "photos.tar", "c"))
    ]
    assert rows[0]["accuracies"] == rows[1]["accuracies"] == rows[2]["accuracies"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--per-class", "few"), "--per-class 'few' is not a list of numbers; pass numbers such as 15,30"),
        (("--per-class", ","), "--per-class ',' is not a list of numbers; pass numbers such as 15,30"),
        (("--splits", "0"), "splits is 0; allowed: 1 to 100"),
        (
            ("--per-class", "9"),
            "class 'bright' has 9 photos, and 2 other classes have too few; a per_class of 9",
        ),
        (("--layers", "conv9", "--per-class", "3"), "layer 'conv9' not found; available: conv1"),
        (("--leave-out", "cat"), "class 'cat' is not in "),
        (("--engine", "ray", "--device", "cuda"), "--engine ray runs on CPUs, not on device 'cuda'"),
    ],
)
def test_an_error_is_a_sentence(
    run: Run, photos: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    result = run("probe", photos, "--model", "tiny", "--out", tmp_path / "out", *options)
    assert result.code == 2
    assert result.stderr.startswith("zfscope: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_help_names_the_extra() -> None:
    text = CliRunner().invoke(app, ["probe", "--help"]).output
    assert "Needs zfscope[probe]." in text
