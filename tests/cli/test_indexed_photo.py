"""`zfscope indexed-photo`, in process and against a service."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.indexes import index_photos
from zfscope.scan import indexes_folder
from zfscope.store import ModelStore

Run = Callable[..., Any]
INDEX = ("--version", 1, "--index", "files")


@pytest.fixture(scope="module")
def photo(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One of two photos, indexed as `files` with version 1 of the model `tiny` until the last test."""
    folder = tmp_path_factory.mktemp("indexed") / "photos" / "ant"
    folder.mkdir(parents=True)
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    model = ModelStore(store).load("tiny", 1)
    index_photos(model, folder.parent, "files", ["conv1"])
    yield folder / "1.png"
    # Other tests need a model with one index.
    shutil.rmtree(indexes_folder(model) / "files")


def hash_of(photo: Path) -> str:
    return hashlib.blake2b(photo.read_bytes(), digest_size=16).hexdigest()


@pytest.mark.parametrize("remote", [False, True])
def test_the_file_of_a_record_is_written(
    run: Run, server: str, photo: Path, tmp_path: Path, remote: bool
) -> None:
    location = ["--server", server] if remote else []
    found = json.loads(
        run("top-k", *INDEX, "--layer", "conv1", "--out", tmp_path / "top-k", "--json", *location).stdout
    )
    (digest, *_) = [row["blake2b"] for row in found["tables"]["records"] if row["path"] == "ant/1.png"]
    out = tmp_path / "new" / "photo.png"
    result = run("indexed-photo", digest, *INDEX, "--out", out, *location)
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.split() == f"'ant/1.png' of index 'files' written to {out}".split()
    assert out.read_bytes() == photo.read_bytes()


def test_json_output_describes_the_photo(run: Run, photo: Path, tmp_path: Path) -> None:
    out, digest = tmp_path / "photo.png", hash_of(photo)
    assert json.loads(run("indexed-photo", digest, *INDEX, "--out", out, "--json").stdout) == {
        "model": "tiny",
        "version": 1,
        "index": "files",
        "path": "ant/1.png",
        "label": "ant",
        "blake2b": digest,
        "bytes": photo.stat().st_size,
        "file": str(out),
    }


def test_nothing_is_written_for_a_photo_that_is_not_found(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "photo.png"
    result = run("indexed-photo", 32 * "0", *INDEX, "--out", out)
    assert result.code == 2
    assert "index 'files' records no photo with hash 0000" in result.stderr
    assert not out.parent.exists()


def test_an_existing_file_is_not_overwritten(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "photo.png"
    out.write_bytes(b"mine")
    result = run("indexed-photo", hash_of(photo), *INDEX, "--out", out)
    assert result.code == 2
    assert "already exists; choose another file with --out" in result.stderr
    assert out.read_bytes() == b"mine"
