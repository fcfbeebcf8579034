"""Listing of tars: photos are read in place."""

import os
import tarfile
from pathlib import Path

import pytest

from tests.datasets.conftest import names_and_labels, pack, read_bytes, write_files, write_names
from zfscope.datasets import open_data
from zfscope.errors import InputError


def test_photos_are_read_in_place(tmp_path: Path) -> None:
    names = ["val/dog/b.png", "val/cat/a.png", "val/readme.txt"]
    data = open_data(pack(tmp_path / "x.tar", write_names(tmp_path, *names), *names))
    assert (data.kind, data.root) == ("tar", tmp_path / "x.tar")
    assert names_and_labels(data) == [("val/cat/a.png", "cat"), ("val/dog/b.png", "dog")]
    assert [read_bytes(data, number) for number in (0, 1)] == [b"val/cat/a.png", b"val/dog/b.png"]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["n1/a.png", "n2/a.png"], ["n1", "n2"]),
        (["a.png", "b.png"], ["", ""]),
        (["x/y/n1/a.png", "x/y/n1/deep/b.png", "x/y/n2/a.png"], ["n1", "n1", "n2"]),
        (["all/of/them/a.png", "all/of/them/b.png"], ["", ""]),
        (["a.png", "n1/a.png"], ["", "n1"]),
        (["only/one.png"], [""]),
    ],
)
def test_folders_common_to_all_photos_are_not_classes(
    tmp_path: Path, names: list[str], labels: list[str]
) -> None:
    assert open_data(pack(tmp_path / "x.tar", write_names(tmp_path, *names), *names)).labels == labels


def test_of_members_with_the_same_name_the_last_counts(tmp_path: Path) -> None:
    write_names(tmp_path, "a.png")
    pack(tmp_path / "x.tar", tmp_path, "a.png")
    (tmp_path / "a.png").write_bytes(b"newer")
    with tarfile.open(tmp_path / "x.tar", "a") as packed:
        packed.add(tmp_path / "a.png", "./a.png")
    data = open_data(tmp_path / "x.tar")
    assert data.names == ["a.png"]
    assert read_bytes(data, 0) == b"newer"


def test_a_hard_link_to_a_photo_is_a_photo(tmp_path: Path) -> None:
    write_names(tmp_path, "a.png")
    (tmp_path / "b.png").hardlink_to(tmp_path / "a.png")
    data = open_data(pack(tmp_path / "x.tar", tmp_path, "a.png", "b.png"))
    assert data.names == ["a.png", "b.png"]
    assert read_bytes(data, 1) == b"a.png"


def test_a_compressed_tar_is_rejected_with_advice(tmp_path: Path) -> None:
    write_names(tmp_path, "a.png")
    with tarfile.open(tmp_path / "x.tar", "w:gz") as packed:
        packed.add(tmp_path / "a.png", "a.png")
    with pytest.raises(
        InputError, match=r"x.tar' is a compressed or damaged tar \(.*\); unpack it"
    ) as caught:
        open_data(tmp_path / "x.tar")
    assert caught.value.field == "data"


def test_a_tar_without_photos_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.tar' contains no photos"):
        open_data(pack(tmp_path / "x.tar", write_names(tmp_path, "a.txt"), "a.txt"))


@pytest.mark.parametrize("size", [20, 200])
def test_a_truncated_compressed_tar_is_rejected(tmp_path: Path, size: int) -> None:
    write_files(tmp_path, **{"a.png": os.urandom(5000)})
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "a.png", "a.png")
    whole = (tmp_path / "x.tar.gz").read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(whole[:size])
    with pytest.raises(InputError, match=r"x\.tar\.gz' is"):
        open_data(tmp_path / "x.tar.gz")
