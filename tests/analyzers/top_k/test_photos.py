"""Photos that the analyzer `top-k` reads again."""

import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.analyzers.conftest import blobs
from tests.analyzers.top_k.conftest import MakeIndex, analyze, records
from zfscope.analysis.contract import Context
from zfscope.engine import trace
from zfscope.errors import InputError
from zfscope_analyzers.top_k import inspect as module


def test_a_photo_of_several_records_is_traced_once(ready: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[int] = []

    def counting(network: Any, images: torch.Tensor, **options: Any) -> Any:
        traced.append(len(images))
        return trace(network, images, **options)

    monkeypatch.setattr(module, "trace", counting)
    rows = records(analyze(ready, count=12))
    assert sum(traced) == len({row["path"] for row in rows if row["state"] == "ok"})
    assert max(traced) > 1


def test_photos_in_a_tar_archive_are_read_in_place(
    ready: Context, photos: Path, make_index: MakeIndex, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(photos, "photos")
    make_index(tmp_path / "photos.tar", "packed")
    loose, packed = (analyze(ready, index=name, count=12) for name in ("photos", "packed"))
    assert [row["state"] for row in records(packed)] == [row["state"] for row in records(loose)]
    for name, tensor in loose.tensors.items():
        np.testing.assert_allclose(packed.tensors[name], tensor, atol=1e-5, err_msg=name)
    (tmp_path / "photos.tar").write_bytes(b"no tar any more")
    assert {row["state"] for row in records(analyze(ready, index="packed", maps=[0]))} == {"gone"}
    (tmp_path / "photos.tar").unlink()
    assert {row["state"] for row in records(analyze(ready, index="packed", maps=[0]))} == {"gone"}


def test_warnings_about_photos_name_their_paths(ready: Context, photos: Path, make_index: MakeIndex) -> None:
    pages = [Image.fromarray(blobs(number, 60, 40)) for number in range(40, 43)]
    pages[0].save(photos / "ant" / "pages.tiff", save_all=True, append_images=pages[1:])
    make_index(photos, "with-pages")
    (result,) = analyze(ready, index="with-pages", count=12, top=9).warnings
    assert (result.code, result.field) == ("first-frame", "ant/pages.tiff")
    assert analyze(ready, index="photos", count=12).warnings == ()


def test_a_named_pipe_in_place_of_a_photo_does_not_block(ready: Context, photos: Path) -> None:
    path = photos / records(analyze(ready, maps=[0]))[0]["path"]
    path.unlink()
    os.mkfifo(path)
    assert records(analyze(ready, maps=[0]))[0]["state"] == "gone"


def test_a_photo_that_can_no_longer_be_decoded_counts_as_gone(
    ready: Context, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise InputError("a format that is not read any more")

    monkeypatch.setattr("zfscope.scan.reload.decode_photo", fail)
    assert {row["state"] for row in records(analyze(ready, maps=[0]))} == {"gone"}
