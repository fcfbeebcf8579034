"""`zfscope evaluate`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.store import ModelStore

Run = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos of random blobs for each of two of the model's four classes."""
    generator = np.random.default_rng(3)
    for label in ("n0", "n2"):
        (tmp_path / "val" / label).mkdir(parents=True)
        for number in range(5):
            blobs = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            photo = Image.fromarray(blobs).resize((44, 40), Image.Resampling.BICUBIC)
            photo.save(tmp_path / "val" / label / f"{number}.png")
    return tmp_path / "val"


def top1_photo_by_photo(photos: Path, store: Path, *, ten_crop: bool) -> float:
    """Return the top-1 accuracy in percent, counted photo by photo as with `classify`."""
    model = ModelStore(store).load("tiny")
    ids = [label.id for label in model.labels]
    hits = []
    for path in sorted(photos.rglob("*.png")):
        crops = "ten" if ten_crop else "centre"
        prepared = prepare(decode(path.read_bytes()), model.preprocessing, crops=crops)  # type: ignore[arg-type]
        probabilities = model.network(torch.from_numpy(prepared.pixels)).softmax(1).mean(0)
        hits.append(ids[int(probabilities.argmax())] == path.parent.name)
    return 100 * sum(hits) / len(hits)


@pytest.mark.parametrize("ten_crop", [False, True])
def test_json_output_equals_the_accuracy_counted_photo_by_photo(
    run: Run, photos: Path, store: Path, ten_crop: bool
) -> None:
    result = run("evaluate", photos, "--model", "tiny", "--json", *(["--ten-crop"] if ten_crop else []))
    top1 = top1_photo_by_photo(photos, store, ten_crop=ten_crop)
    assert json.loads(result.stdout) == {
        "top1": pytest.approx(top1),
        "top5": 100.0,
        "precision": "float32",
        "images": 10,
        "skipped": 0,
        "skipped_photos": [],
        "passed_over": {},
    }
    assert result.stderr == ""


def test_the_precision_is_named_with_the_accuracy(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope.runtimes.precision.has_bfloat16", lambda device: True)
    result = run("evaluate", photos, "--model", "tiny", "--precision", "bfloat16")
    assert result.stdout.startswith("tiny version 2 in bfloat16, by the centre crop of 10 photos: top-1")
    monkeypatch.setattr("zfscope.runtimes.precision.has_bfloat16", lambda device: False)
    result = run("evaluate", photos, "--model", "tiny", "--precision", "bfloat16")
    assert result.code != 0
    assert "precision bfloat16 needs AMX or AVX512-BF16; this processor has " in result.stderr


def test_text_output_is_a_sentence(run: Run, photos: Path) -> None:
    text = run("evaluate", photos, "--model", "tiny").stdout
    assert text.startswith("tiny version 2, by the centre crop of 10 photos: top-1 accuracy ")
    assert text.endswith("top-5 accuracy 100.00 %\n")


def test_a_folder_that_is_not_a_class_is_reported_in_one_line(run: Run, photos: Path) -> None:
    (photos / "n9").mkdir()
    result = run("evaluate", photos, "--model", "tiny")
    assert (result.code, result.stdout) == (2, "")
    assert "n9" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_folder_is_reported_in_one_line(run: Run, tmp_path: Path) -> None:
    result = run("evaluate", tmp_path / "nowhere", "--model", "tiny")
    assert (result.code, result.stdout) == (2, "")
    assert f"data set '{tmp_path / 'nowhere'}' cannot be opened" in result.stderr


def test_the_default_model_of_the_store_is_evaluated_by_default(run: Run, photos: Path) -> None:
    named = run("evaluate", photos, "--model", "tiny", "--json")
    assert run("evaluate", photos, "--json").stdout == named.stdout


def test_broken_photos_are_left_out_and_reported(run: Run, photos: Path) -> None:
    before = json.loads(run("evaluate", photos, "--model", "tiny", "--json").stdout)
    (photos / "n0" / "broken.png").write_text("not a photo")
    (photos / "n2" / "._0.png").write_text("not a photo")
    (photos / "n1").mkdir()
    after = json.loads(run("evaluate", photos, "--model", "tiny", "--json").stdout)
    assert after["top1"] == before["top1"]
    assert (after["images"], after["skipped"], after["passed_over"]) == (10, 1, {"hidden": 1})
    text = run("evaluate", photos, "--model", "tiny").stdout
    assert "Measured on 10 photos; 1 could not be used ('n0/broken.png': the file is not an image" in text


def test_duplicates_within_a_class_are_counted_and_reported(run: Run, photos: Path) -> None:
    (photos / "n2" / "0 (1).png").write_bytes((photos / "n2" / "0.png").read_bytes())
    result = run("evaluate", photos, "--model", "tiny", "--json")
    assert json.loads(result.stdout)["images"] == 11
    assert result.stderr == (
        "zfscope: warning: 1 photos are duplicates within a class ('n2/0 (1).png' is 'n2/0.png'); they count "
        "more than others\n"
    )
