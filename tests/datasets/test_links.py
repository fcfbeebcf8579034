"""Symbolic and hard links in a data set."""

from pathlib import Path

import pytest

from tests.datasets.conftest import PNG, counts_by_kind, pack, write_files
from zfscope.datasets import open_data
from zfscope.datasets.skipped_files import describe_skipped
from zfscope.errors import InputError


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    write_files(tmp_path / "elsewhere", **{"x.png": PNG})
    write_files(tmp_path / "data", **{"cat/a.png": PNG})
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "cat" / "b.png").symlink_to(tmp_path / "elsewhere" / "x.png")
    (tmp_path / "data" / "cat" / "c").symlink_to(tmp_path / "elsewhere" / "x.png")
    data = open_data(tmp_path / "data")
    assert data.names == ["cat/a.png", "cat/b.png", "dog/x.png"]
    assert describe_skipped(data.skipped_files) == (
        "1 link to a file or folder already in its class ('cat/c')"
    )


def test_a_photo_is_listed_once_per_class_under_its_own_name(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", **{"cat/deep/a.png": PNG, "cat/deep/b.png": PNG, "dog/c.png": PNG})
    (root / "cat" / "0.png").symlink_to(root / "cat" / "deep" / "a.png")
    (root / "cat" / "1").symlink_to(root / "cat" / "deep")
    (root / "cat" / "deep" / "0.png").hardlink_to(root / "cat" / "deep" / "b.png")
    (root / "dog" / "a.png").symlink_to(root / "cat" / "deep" / "a.png")
    (root / "dog2").symlink_to(root / "dog")
    data = open_data(root)
    assert data.names == [
        "cat/deep/0.png",
        "cat/deep/a.png",
        "dog/a.png",
        "dog/c.png",
        "dog2/a.png",
        "dog2/c.png",
    ]
    assert data.classes == ("cat", "dog", "dog2")
    assert describe_skipped(data.skipped_files) == (
        "3 links to files or folders already in their class ('cat/0.png', 'cat/1', 'cat/deep/b.png')"
    )


def test_unlabelled_photos_are_listed_once(tmp_path: Path) -> None:
    write_files(tmp_path, **{"a.png": PNG})
    for name in ("b.png", "0.png"):
        (tmp_path / name).symlink_to(tmp_path / "a.png")
    data = open_data(tmp_path)
    assert (data.names, counts_by_kind(data)) == (["a.png"], {"repeated": 2})


def test_folders_that_link_to_each_other_are_listed_once_per_class(tmp_path: Path) -> None:
    names = [f"{number:02}" for number in range(24)]
    for name in names:
        write_files(tmp_path, **{f"{name}/{name}.png": PNG})
        for target in names:
            (tmp_path / name / f"to-{target}").symlink_to(tmp_path / target)
    data = open_data(tmp_path)
    assert len(data) == 24 * 24
    assert data.labels[:24] == ["00"] * 24
    assert data.names[:2] == ["00/00.png", "00/to-01/01.png"]
    # Each class reaches 24 links in each of 24 folders; 23 of the links are followed.
    assert sum(counts_by_kind(data).values()) == 24 * (24 * 24 - 23)
    assert set(counts_by_kind(data)) == {"loop", "repeated"}


def test_names_do_not_depend_on_the_order_in_which_links_were_created(tmp_path: Path) -> None:
    listings = []
    for order in (("a", "b", "c"), ("c", "a", "b")):
        root = write_files(tmp_path / order[0], **{"x/p.png": PNG})
        elsewhere = write_files(tmp_path / f"far-{order[0]}", **{"y/q.png": PNG})
        for name in order:
            (root / "x" / name).symlink_to(elsewhere if name == "b" else elsewhere / "y")
        listings.append(open_data(root).names)
    assert listings == [["x/a/q.png", "x/p.png"]] * 2


@pytest.mark.parametrize("name", ["self.png", "self", "cat/self"])
def test_a_link_to_itself_is_skipped_and_named(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, **{"cat/a.png": PNG})
    (tmp_path / name).symlink_to(tmp_path / name)
    data = open_data(tmp_path)
    assert (data.names, data.classes) == (["cat/a.png"], ("cat",))
    assert describe_skipped(data.skipped_files) == f"1 circular link ('{name}')"


@pytest.mark.parametrize("target", [".", "cat", "cat/deep"])
def test_a_link_to_a_parent_folder_is_skipped(tmp_path: Path, target: str) -> None:
    write_files(tmp_path, **{"cat/deep/a.png": PNG})
    (tmp_path / "cat" / "deep" / "up").symlink_to(tmp_path / target)
    data = open_data(tmp_path)
    assert data.names == ["cat/deep/a.png"]
    assert describe_skipped(data.skipped_files) == "1 circular link ('cat/deep/up')"


def test_a_link_to_the_data_set_itself_is_not_a_class(tmp_path: Path) -> None:
    write_files(tmp_path, **{"cat/a.png": PNG})
    (tmp_path / "all").symlink_to(tmp_path)
    assert open_data(tmp_path).classes == ("cat",)


def test_a_dangling_link_is_skipped_and_named(tmp_path: Path) -> None:
    write_files(tmp_path, **{"a.png": PNG})
    (tmp_path / "b.png").symlink_to(tmp_path / "nowhere.png")
    assert describe_skipped(open_data(tmp_path).skipped_files) == "1 dangling link ('b.png')"


def test_a_data_set_that_links_to_itself_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path / "data")
    with pytest.raises(InputError, match=r"data set '.*/data' cannot be opened: "):
        open_data(tmp_path / "data")


def test_symbolic_links_in_a_tar_are_skipped_with_advice(tmp_path: Path) -> None:
    write_files(tmp_path / "data", **{"a.png": PNG})
    (tmp_path / "data" / "b.png").symlink_to("a.png")
    data = open_data(pack(tmp_path / "x.tar", tmp_path / "data", "."))
    assert data.names == ["a.png"]
    assert (
        describe_skipped(data.skipped_files)
        == "1 link in the tar ('b.png': create the tar with --dereference)"
    )
