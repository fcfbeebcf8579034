"""`zfscope models import`, with a narrow network in the naming of pytorchcv."""

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
    torch.save(narrow_state_dict(), tmp_path / "zfnet.pth")
    return tmp_path / "zfnet.pth"


@pytest.fixture
def import_model(run: Run, weights: Path, tmp_path: Path) -> Run:
    """Imports the weights into a separate store."""

    def import_weights(*options: object, file: Path = weights) -> Any:
        common = ["--format", "pytorchcv", "--name", "other", "--store", tmp_path / "store"]
        return run("models", "import", file, *common, *options)

    return import_weights


def test_an_imported_model_is_added_to_the_store(import_model: Run, tmp_path: Path) -> None:
    result = import_model()
    assert result.code == 0
    assert result.stderr == (
        "zfscope: warning: model: the preprocessing of model 'other' version 1 is assumed from its "
        "network's definition, since its weights file states none; if it is right, set preprocessing_assumed "
        "to false in its model.json, otherwise correct it there\n"
    )
    assert "inspect it with: zfscope models other" in result.stdout
    manifest = ModelStore(tmp_path / "store").verify("other")
    assert [label.name for label in manifest.labels] == ["class 0", "class 1", "class 2"]
    assert manifest.provenance.source == "Imported from 'zfnet.pth', format pytorchcv"
    card = (tmp_path / "store" / "other" / "1" / "README.md").read_text()
    assert "normalised before pooling" in card.replace("contrast is ", "")


def test_labels_keep_the_order_of_their_lines(import_model: Run, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("n2 red fox\nn1 cat\nn3 dog\n")
    folder = json.loads(import_model("--labels", tmp_path / "labels", "--json").stdout)["folder"]
    labels = json.loads((Path(folder) / "model.json").read_text())["labels"]
    assert [(label["id"], label["name"]) for label in labels] == [
        ("n2", "red fox"),
        ("n1", "cat"),
        ("n3", "dog"),
    ]


def test_labels_with_shuffled_indexes_are_rejected_and_nothing_is_written(
    import_model: Run, tmp_path: Path
) -> None:
    (tmp_path / "labels").write_text("0 tench\n2 shark\n1 goldfish\n")
    result = import_model("--labels", tmp_path / "labels")
    assert (result.code, result.stdout) == (2, "")
    assert "id '1' follows '2', but lines must be in score order" in result.stderr
    assert not (tmp_path / "store").exists()


def test_other_numeric_ids_out_of_order_cause_a_warning(import_model: Run, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("7 a\n3 b\n5 c\n")
    warnings = json.loads(import_model("--labels", tmp_path / "labels", "--json").stdout)["warnings"]
    assert [each["code"] for each in warnings] == ["assumed-preprocessing", "labels-out-of-order"]


def test_an_imported_model_can_classify(import_model: Run, run: Run, photo: Path, tmp_path: Path) -> None:
    import_model()
    result = run("classify", photo, "--store", tmp_path / "store", "--json")
    answer = json.loads(result.stdout)
    assert len(answer["classes"]) == 3
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["field"]) == ("assumed-preprocessing", "model")


def test_the_assumed_preprocessing_can_be_confirmed_in_the_manifest(
    import_model: Run, run: Run, photo: Path, tmp_path: Path
) -> None:
    (warning,) = json.loads(import_model("--json").stdout)["warnings"]
    assert warning["code"] == "assumed-preprocessing"
    analyzed = run(
        "analyze", "project", photo, "--store", tmp_path / "store", "--json", "--out", tmp_path / "o"
    )
    assert [each["code"] for each in json.loads(analyzed.stdout)["warnings"]] == ["assumed-preprocessing"]
    manifest = tmp_path / "store" / "other" / "1" / "model.json"
    values = json.loads(manifest.read_text())
    assert values["preprocessing_assumed"] is True
    manifest.write_text(json.dumps(values | {"preprocessing_assumed": False}))
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
def test_an_invalid_file_is_reported_in_one_line_and_nothing_is_written(
    import_model: Run, tmp_path: Path, name: str, data: bytes | None, message: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    result = import_model(file=tmp_path / name)
    assert (result.code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert message in result.stderr
    assert not (tmp_path / "store").exists()


def test_an_existing_model_is_not_overwritten(import_model: Run, tmp_path: Path) -> None:
    import_model()
    before = (tmp_path / "store" / "other" / "1" / "model.json").read_bytes()
    result = import_model()
    assert result.code == 2
    assert "model 'other' version 1 already exists in " in result.stderr
    assert (tmp_path / "store" / "other" / "1" / "model.json").read_bytes() == before


def test_another_version_can_be_added(import_model: Run, tmp_path: Path) -> None:
    import_model()
    assert json.loads(import_model("--version", 2, "--json").stdout)["version"] == 2
    store = ModelStore(tmp_path / "store")
    assert [store.verify("other", version).version for version in (1, 2)] == [1, 2]
    assert store.load("other").version == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("n1 cat\n", "labels for a network with 3 classes"),
        ("n1 cat\nn1 dog\nn2 fox\n", "class 'n1' appears in lines 1 and 2"),
    ],
)
def test_labels_must_match_the_number_of_classes_and_be_unique(
    import_model: Run, tmp_path: Path, lines: str, message: str
) -> None:
    (tmp_path / "labels").write_text(lines)
    result = import_model("--labels", tmp_path / "labels")
    assert result.code == 2
    assert message in result.stderr
    assert not (tmp_path / "store").exists()


def test_an_invalid_model_name_is_rejected(import_model: Run) -> None:
    result = import_model("--name", "../up")
    assert (result.code, result.stdout) == (2, "")
    assert "name '../up' must match" in result.stderr


def test_weights_too_large_for_half_precision_are_rejected(import_model: Run, tmp_path: Path) -> None:
    torch.save(narrow_state_dict(output__fc3__bias=torch.full((3,), 1e5)), tmp_path / "large.pth")
    result = import_model(file=tmp_path / "large.pth")
    assert result.code == 2
    assert "values that are not finite in float16" in result.stderr
    assert not (tmp_path / "store").exists()


def test_the_help_lists_the_formats_and_others_are_rejected(run: Run, import_model: Run) -> None:
    shown = run("models", "import", "--help").stdout
    assert all(f"\n    {name} " in shown for name in FORMATS)
    result = import_model("--format", "keras")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == f"zfscope: unknown format 'keras'; available: {', '.join(FORMATS)}\n"
