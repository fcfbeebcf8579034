"""All commands that read a data set find the same photos in a messy folder."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zfscope.cli.compare import select_photos
from zfscope.scan import open_index
from zfscope.store import ModelStore

Run = Callable[..., Any]

PHOTOS = (
    "n0/a.png",
    "n0/camera.jfif",
    "n0/deep/b.JPG",
    "n0/linked.png",
    "n0/without-a-suffix",
    "n2/c.png",
    "n2/far/x.webp",
)
BROKEN = ("n0/broken.jpg", "n0/empty.png", "n0/n\\xe9.png", "n2/html.jpg")
PASSED_OVER = {
    "JPEG 2000": 1,
    "backup": 1,
    "dangling": 1,
    "hidden": 4,
    "loop": 3,
    "other": 3,
    "special": 1,
    "system": 1,
}

RECIPE = """
summary = "a few steps"
optimizer = "sgd"
learning_rate = 1e-5
schedule = "cosine"
batch = 2
crop = "random"
mean = "channels"
[[phases]]
size = 64
"""


def write_photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blobs = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    kind = {".png": "PNG", ".webp": "WEBP"}.get(path.suffix, "JPEG")
    with path.open("wb") as file:
        Image.fromarray(blobs).resize((44, 40), Image.Resampling.BICUBIC).save(file, kind)


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """A folder with the odd files that file systems, archive tools and users leave behind."""
    root, far = tmp_path / "messy", tmp_path / "elsewhere"
    for seed, name in enumerate(name for name in PHOTOS if name not in ("n0/linked.png", "n2/far/x.webp")):
        write_photo(root / name, seed)
    write_photo(root / "n2" / "photo.jpg~", 49)
    write_photo(far / "y.png", 50)
    write_photo(far / "folder" / "x.webp", 51)
    (root / "n0" / "linked.png").symlink_to(far / "y.png")
    (root / "n2" / "far").symlink_to(far / "folder")
    for number, name in enumerate(
        (".ipynb_checkpoints/a.png", "__MACOSX/n0/a.png", "n0/.hidden/a.png", "n0/._a.png", "n2/Thumbs.db")
    ):
        write_photo(root / name, 60 + number)
    (root / "n0" / "self").symlink_to("self")
    (root / "n0" / "self.png").symlink_to("self.png")
    (root / "n2" / "up").symlink_to(root)
    (root / "n2" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(root / "n2" / "pipe.png")
    (root / "readme.txt").write_text("not a photo")
    (root / "n0" / "boxes.xml").write_text("<boxes/>")
    (root / "n0" / "empty").touch()
    (root / "n2" / "scan.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n\0\0")
    (root / "n0" / "broken.jpg").write_bytes((root / "n0" / "camera.jfif").read_bytes()[:300])
    (root / "n0" / "empty.png").touch()
    write_photo(root / "n0" / "n\udce9.png", 70)
    (root / "n2" / "html.jpg").write_text("<html>404</html>")
    return root


def skipped(answer: dict[str, Any]) -> list[str]:
    return sorted(photo["path"] for photo in answer["skipped_photos"])


def test_index_and_gallery_find_the_photos(
    run: Run, messy: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    write(tmp_path / "models", 1)
    options = ["--store", tmp_path / "models", "--json"]
    answer = json.loads(run("index", messy, "--layers", "conv1", *options).stdout)
    assert (answer["images"], answer["skipped"]) == (len(PHOTOS), len(BROKEN))
    assert answer["passed_over"] == PASSED_OVER
    index = open_index(ModelStore(tmp_path / "models").load("tiny"), "messy")
    assert tuple(sorted(path for path, _ in index.skipped)) == tuple(sorted(BROKEN))
    assert {record.path for record in index.records("conv1", 0)} == set(PHOTOS)
    assert {record.label for record in index.records("conv1", 0)} == {"n0", "n2"}
    pages = ["--no-evolution", "--count", 1, "--out", tmp_path / "gallery"]
    made = json.loads(run("gallery", messy, *pages, *options).stdout)
    for count in ("images", "skipped", "passed_over"):
        assert made[count] == answer[count]


def test_evaluate_finds_the_photos(run: Run, messy: Path) -> None:
    answer = json.loads(run("evaluate", messy, "--model", "tiny", "--json").stdout)
    assert (answer["images"], skipped(answer)) == (len(PHOTOS), sorted(BROKEN))
    assert answer["passed_over"] == PASSED_OVER


def test_probe_finds_the_photos(run: Run, messy: Path, tmp_path: Path) -> None:
    options = ["--per-class", "1", "--splits", "1", "--layers", "conv1", "--out", tmp_path / "out"]
    answer = json.loads(run("probe", messy, "--model", "tiny", *options, "--json").stdout)
    assert (answer["images"], skipped(answer)) == (len(PHOTOS), sorted(BROKEN))
    assert answer["passed_over"] == PASSED_OVER


def test_compare_finds_the_photos(run: Run, messy: Path, tmp_path: Path) -> None:
    options = ["--models", "tiny:1,tiny:2", "--out", tmp_path / "out", "--json"]
    answer = json.loads(run("compare", messy, *options).stdout)
    assert (answer["images"], skipped(answer)) == (len(PHOTOS), sorted(BROKEN))
    assert answer["passed_over"] == PASSED_OVER
    assert select_photos([messy]).photos == [(messy / name).read_bytes() for name in PHOTOS]


def test_train_finds_the_photos(
    run: Run, messy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope.allocator.keep_freed_memory", lambda: None)
    (tmp_path / "few.toml").write_text(RECIPE)
    brief = ["--recipe", tmp_path / "few.toml", "--epochs", 1, "--hidden", 4, "--out", tmp_path / "run"]
    result = run("train", messy, *brief, "--store", tmp_path / "trained", "--json")
    answer = json.loads(result.stdout)
    assert (answer["images"], skipped(answer)) == (len(PHOTOS), sorted(BROKEN))
    assert answer["passed_over"] == PASSED_OVER
    for name in BROKEN:
        assert f"warning: photo '{name}' is skipped: " in result.stderr
    manifest = ModelStore(tmp_path / "trained").verify("zfnet-messy")
    assert [label.id for label in manifest.labels] == ["n0", "n2"]
