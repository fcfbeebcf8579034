"""Folders with special and unreadable files, unusual names and deep nesting."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.datasets.conftest import PNG, pack_if_tar, write_files
from zfscope.datasets import folder, open_data
from zfscope.datasets.skipped_files import describe_skipped
from zfscope.errors import InputError


def test_pipes_and_sockets_are_skipped_without_opening_them(tmp_path: Path) -> None:
    write_files(tmp_path, **{"a.png": PNG})
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    assert (
        describe_skipped(open_data(tmp_path).skipped_files)
        == "2 pipes, sockets or devices ('pipe', 'pipe.png')"
    )


def test_a_pipe_is_rejected_as_a_data_set(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe' cannot be opened: neither a folder nor a regular file"):
        open_data(tmp_path / "pipe")


class TestUnreadable:
    """Files and folders without permission, simulated because root can read everything."""

    @pytest.fixture(autouse=True)
    def _forbidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Deny access to paths that contain `forbidden`."""
        scan, head = os.scandir, folder._head

        def scandir(path: str) -> Iterator[Any]:
            return scan(self._check(path))

        monkeypatch.setattr(os, "scandir", scandir)
        monkeypatch.setattr(folder, "_head", lambda path: head(self._check(path)))

    def _check(self, path: str) -> str:
        if "forbidden" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return path

    def test_they_are_skipped_and_named(self, tmp_path: Path) -> None:
        write_files(tmp_path, **{"cat/a.png": PNG, "cat/forbidden/b.png": PNG, "cat/forbidden2": PNG})
        data = open_data(tmp_path)
        assert data.names == ["cat/a.png"]
        expected = "2 unreadable files or folders ('cat/forbidden', 'cat/forbidden2')"
        assert describe_skipped(data.skipped_files) == expected

    def test_an_unreadable_class_folder_remains_a_class(self, tmp_path: Path) -> None:
        write_files(tmp_path, **{"cat/a.png": PNG, "forbidden/b.png": PNG})
        assert open_data(tmp_path).classes == ("cat", "forbidden")

    def test_an_unreadable_data_set_is_rejected(self, tmp_path: Path) -> None:
        write_files(tmp_path / "forbidden", **{"a.png": PNG})
        with pytest.raises(InputError, match="forbidden' cannot be read: Permission denied"):
            open_data(tmp_path / "forbidden")


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_class_folders_without_photos_are_classes(tmp_path: Path, kind: str) -> None:
    root = write_files(tmp_path / "data", **{"cat/a.png": PNG, "dog/b.png": PNG})
    (root / "cow" / "deep").mkdir(parents=True)
    assert open_data(pack_if_tar(kind, root, "data")).classes == ("cat", "cow", "dog")


def test_names_that_are_not_utf_8_are_listed_and_escaped_in_messages(tmp_path: Path) -> None:
    write_files(tmp_path, **{"caf\udce9/a.png": PNG, "b\udce9.txt": b"x", ".c\udce9": b"x"})
    data = open_data(tmp_path)
    assert data.names == ["caf\udce9/a.png"]
    assert all(name.isprintable() for files in data.skipped_files for name in files.examples)


@pytest.fixture
def deep_folder(tmp_path: Path) -> Iterator[Path]:
    """A photo in 1,200 nested folders, which shutil cannot remove."""
    root, start = tmp_path / "data", Path.cwd()
    root.mkdir()
    try:
        os.chdir(root)
        for _ in range(1200):
            Path("d").mkdir()
            os.chdir("d")
        Path("a.png").write_bytes(PNG)
        os.chdir(start)
        yield root
    finally:
        os.chdir(start)
        subprocess.run(["rm", "-rf", root], check=True)


def test_folders_nested_beyond_the_recursion_limit_are_listed(deep_folder: Path) -> None:
    assert open_data(deep_folder).names == ["d/" * 1200 + "a.png"]
