"""Fingerprints of data sets and stamps of files."""

import os
import stat
from pathlib import Path

from tests.datasets.conftest import pack, write_files, write_names
from zfscope.datasets import open_data
from zfscope.datasets.dataset import NO_STAMP, file_stamp


class TestFingerprint:
    """Fingerprint of a data set."""

    def test_it_does_not_depend_on_the_location_of_the_photos(self, tmp_path: Path) -> None:
        names = ["cat/a.png", "dog/b.png"]
        one, other = write_names(tmp_path / "one", *names), write_names(tmp_path / "other", *reversed(names))
        tar = pack(tmp_path / "x.tar", one, *names)
        assert len({open_data(path).fingerprint for path in (one, other, tar)}) == 1

    def test_it_changes_with_names_classes_and_sizes(self, tmp_path: Path) -> None:
        write_names(tmp_path, "data/a.png", "more/a.png", "more/b.png")
        before = open_data(tmp_path / "data").fingerprint
        (tmp_path / "data" / "list.txt").write_text("a.png\tcat")
        fingerprints = {before, open_data(tmp_path / "more").fingerprint}
        fingerprints.add(open_data(tmp_path / "data" / "list.txt").fingerprint)
        (tmp_path / "data" / "a.png").write_bytes(b"longer than before")
        fingerprints.add(open_data(tmp_path / "data").fingerprint)
        assert len(fingerprints) == 4


class TestStamp:
    """Stamp of a file, which changes with its contents."""

    def test_it_changes_if_a_file_of_the_same_size_and_time_replaces_it(self, tmp_path: Path) -> None:
        write_files(tmp_path, a=b"12", b=b"34")
        status = (tmp_path / "a").stat()
        os.utime(tmp_path / "b", ns=(status.st_atime_ns, status.st_mtime_ns))
        later = status.st_ctime_ns + 10**12
        before = file_stamp(status, now_ns=later)
        (tmp_path / "b").rename(tmp_path / "a")
        after = (tmp_path / "a").stat()
        assert (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
        assert file_stamp(after, now_ns=later) != before

    def test_a_recently_modified_file_has_none(self, tmp_path: Path) -> None:
        write_files(tmp_path, a=b"12")
        status = (tmp_path / "a").stat()
        assert stat.S_ISREG(status.st_mode)
        assert file_stamp(status, now_ns=status.st_ctime_ns + 1) == NO_STAMP
        assert file_stamp(status, now_ns=status.st_ctime_ns + 3 * 10**9) != NO_STAMP
