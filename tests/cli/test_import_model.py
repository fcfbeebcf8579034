"""`zfscope models import`, of a narrow network with pytorchcv's names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.store.importing.test_pytorchcv import small
from zfscope.store import ModelStore
from zfscope.store.importing import FORMATS

Run = Callable[..., Any]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(small(), tmp_path / "zfnet.pth")
    return tmp_path / "zfnet.pth"


@pytest.fixture
def bring(run: Run, weights: Path, tmp_path: Path) -> Run:
    """Imports the weights into a store of the test's own."""

    def import_weights(*options: object, file: Path = weights) -> Any:
        always = ["--format", "pytorchcv", "--name", "other", "--store", tmp_path / "store"]
        return run("models", "import", file, *always, *options)

    return import_weights


def test_an_imported_model_is_in_the_store_and_whole(bring: Run, tmp_path: Path) -> None:
    result = bring()
    assert result.code == 0
    assert result.stderr == (
        "zfscope: warning: model: the preprocessing of model 'other' version 1 is assumed from its "
        "network's definition, since its weights file states none; if it is right, set preprocessing_assumed "
        "to false in its model.json, otherwise correct it there\n"
    )
    assert "inspect it with: zfscope models other" in result.stdout
    manifest = ModelStore(tmp_path / "store").verify("other")
    assert [label.name for label in manifest.labels] == ["class 0", "class 1", "class 2"]
    assert manifest.provenance.source == "Imported from 'zfnet.pth', of the format pytorchcv"
    card = (tmp_path / "store" / "other" / "1" / "README.md").read_text()
    assert "normalised before pooling" in card.replace("contrast is ", "")


def test_labels_are_taken_in_their_order(bring: Run, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("n2 red fox\nn1 cat\nn3 dog\n")
    folder = json.loads(bring("--labels", tmp_path / "labels", "--json").stdout)["folder"]
    stated = json.loads((Path(folder) / "model.json").read_text())["labels"]
    assert [(label["id"], label["name"]) for label in stated] == [
        ("n2", "red fox"),
        ("n1", "cat"),
        ("n3", "dog"),
    ]


def test_labels_with_shuffled_indexes_are_refused_and_leave_nothing(bring: Run, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("0 tench\n2 shark\n1 goldfish\n")
    result = bring("--labels", tmp_path / "labels")
    assert (result.code, result.stdout) == (2, "")
    assert "id '1' follows '2', but lines must be in score order" in result.stderr
    assert not (tmp_path / "store").exists()


def test_other_numbers_out_of_order_are_a_warning(bring: Run, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("7 a\n3 b\n5 c\n")
    warnings = json.loads(bring("--labels", tmp_path / "labels", "--json").stdout)["warnings"]
    assert [each["code"] for each in warnings] == ["assumed-preprocessing", "labels-out-of-order"]


def test_an_imported_model_classifies(bring: Run, run: Run, photo: Path, tmp_path: Path) -> None:
    bring()
    result = run("classify", photo, "--store", tmp_path / "store", "--json")
    answer = json.loads(result.stdout)
    assert len(answer["classes"]) == 3
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["field"]) == ("assumed-preprocessing", "model")


def test_what_was_assumed_of_an_imported_model_can_be_confirmed(
    bring: Run, run: Run, photo: Path, tmp_path: Path
) -> None:
    (warning,) = json.loads(bring("--json").stdout)["warnings"]
    assert warning["code"] == "assumed-preprocessing"
    analyzed = run(
        "analyze", "project", photo, "--store", tmp_path / "store", "--json", "--out", tmp_path / "o"
    )
    assert [each["code"] for each in json.loads(analyzed.stdout)["warnings"]] == ["assumed-preprocessing"]
    manifest = tmp_path / "store" / "other" / "1" / "model.json"
    stated = json.loads(manifest.read_text())
    assert stated["preprocessing_assumed"] is True
    manifest.write_text(json.dumps(stated | {"preprocessing_assumed": False}))
    answer = json.loads(run("classify", photo, "--store", tmp_path / "store", "--json").stdout)
    assert answer["warnings"] == []


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("missing.pth", None, "' cannot be read: No such file or directory"),
        ("text.pth", b"weights", "' is not in the format 'pytorchcv': not a state dict"),
        ("a.pth", b"", "' is not in the format 'pytorchcv': not a state dict"),
        ("text.safetensors", b"weights", "' is not in the format 'pytorchcv': not a safetensors file"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_a_line_and_leaves_nothing(
    bring: Run, tmp_path: Path, name: str, data: bytes | None, message: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    result = bring(file=tmp_path / name)
    assert (result.code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_model_that_is_there_stays_as_it_is(bring: Run, tmp_path: Path) -> None:
    bring()
    before = (tmp_path / "store" / "other" / "1" / "model.json").read_bytes()
    result = bring()
    assert result.code == 2
    assert "model 'other' version 1 already exists in " in result.stderr
    assert (tmp_path / "store" / "other" / "1" / "model.json").read_bytes() == before


def test_another_version_stands_beside_the_first(bring: Run, tmp_path: Path) -> None:
    bring()
    assert json.loads(bring("--version", 2, "--json").stdout)["version"] == 2
    store = ModelStore(tmp_path / "store")
    assert [store.verify("other", version).version for version in (1, 2)] == [1, 2]
    assert store.load("other").version == 2


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("n1 cat\n", "labels for a network with 3 classes"),
        ("n1 cat\nn1 dog\nn2 fox\n", "class 'n1' appears in lines 1 and 2"),
    ],
)
def test_labels_are_one_for_each_class(bring: Run, tmp_path: Path, lines: str, words: str) -> None:
    (tmp_path / "labels").write_text(lines)
    result = bring("--labels", tmp_path / "labels")
    assert result.code == 2
    assert words in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_name_that_is_no_folder_is_refused(bring: Run) -> None:
    result = bring("--name", "../up")
    assert (result.code, result.stdout) == (2, "")
    assert "name '../up' must match" in result.stderr


def test_weights_too_large_for_half_precision_leave_nothing(bring: Run, tmp_path: Path) -> None:
    torch.save(small(output__fc3__bias=torch.full((3,), 1e5)), tmp_path / "large.pth")
    result = bring(file=tmp_path / "large.pth")
    assert result.code == 2
    assert "values that are not finite in float16" in result.stderr
    assert not (tmp_path / "store").exists()


def test_the_help_explains_the_formats_that_can_be_read_and_others_are_refused(run: Run, bring: Run) -> None:
    shown = run("models", "import", "--help").stdout
    assert all(f"\n    {name} " in shown for name in FORMATS)
    result = bring("--format", "keras")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"zfscope: unknown format 'keras'; available: {', '.join(FORMATS)}\n"
