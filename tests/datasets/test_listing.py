"""Listing of folders: photos sorted by name, with their sub-folders as classes."""

import os
from pathlib import Path

import pytest

from tests.datasets.conftest import names_and_labels, read_bytes, write_names
from zfscope.datasets import open_data
from zfscope.errors import InputError


def test_sub_folders_are_classes_and_photos_are_numbered_by_path(tmp_path: Path) -> None:
    data = open_data(
        write_names(tmp_path, "dog/2.png", "cat/b.JPEG", "dog/10.png", "a.gif", "cat/deep/c.tif")
    )
    assert data.kind == "folder"
    assert names_and_labels(data) == [
        ("a.gif", ""),
        ("cat/b.JPEG", "cat"),
        ("cat/deep/c.tif", "cat"),
        ("dog/10.png", "dog"),
        ("dog/2.png", "dog"),
    ]
    assert read_bytes(data, 3) == b"dog/10.png"


def test_hidden_and_other_files_are_skipped(tmp_path: Path) -> None:
    data = open_data(write_names(tmp_path, "a.png", "a.txt", "._a.png", ".cache/b.png", "png"))
    assert data.names == ["a.png"]


def test_links_to_folders_are_followed_unless_circular(tmp_path: Path) -> None:
    write_names(tmp_path / "elsewhere", "x.png")
    write_names(tmp_path / "data", "cat/a.png")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "cat" / "self").symlink_to(tmp_path / "data")
    assert names_and_labels(open_data(tmp_path / "data")) == [("cat/a.png", "cat"), ("dog/x.png", "dog")]


def test_pipes_and_dangling_links_are_skipped(tmp_path: Path) -> None:
    write_names(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
    assert open_data(tmp_path).names == ["a.png"]


@pytest.mark.parametrize("names", [[], ["a.txt", "b/c.txt"]])
def test_a_folder_without_photos_is_rejected(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InputError, match=r"contains no photos \(\.avif, .*\.webp\)") as caught:
        open_data(write_names(tmp_path, *names))
    assert caught.value.field == "data"


def test_a_missing_data_set_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=f"data set '{tmp_path}/nowhere' cannot be opened: no such folder or file"
    ) as caught:
        open_data(tmp_path / "nowhere")
    assert caught.value.field == "data"
