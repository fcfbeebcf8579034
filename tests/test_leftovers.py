"""Temporary files of killed processes are removed; those in use are kept."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zfscope import leftovers
from zfscope.files import replacing, staging_folder, write_file
from zfscope.leftovers import PARTIAL

WRITER = """
import sys, time
from pathlib import Path
from zfscope.files import replacing, staging_folder

folder = Path(sys.argv[1])
with staging_folder(folder) as staging, replacing(folder / "file") as file:
    (staging / "half").write_bytes(b"half")
    file.write(b"half")
    print("writing", flush=True)
    time.sleep(300)
"""

pytestmark = pytest.mark.skipif(leftovers.fcntl is None, reason="this system cannot lock folders")


@pytest.fixture(autouse=True)
def forget_searched_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_searched", set())


def start_writer(folder: Path) -> "subprocess.Popen[str]":
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_leftovers_of_a_killed_process_are_removed_by_the_next_process(tmp_path: Path) -> None:
    with start_writer(tmp_path) as writer:
        writer.kill()
    leftover_names = names(tmp_path)
    assert len(leftover_names) == 2
    assert all(name.startswith(PARTIAL) for name in leftover_names)
    write_file(tmp_path / "new", b"new")
    assert names(tmp_path) == {"new"}


def test_leftovers_are_removed_from_staging_folders(tmp_path: Path) -> None:
    with start_writer(tmp_path) as writer:
        writer.kill()
    with staging_folder(tmp_path) as own:
        assert names(tmp_path) == {own.name}
    assert names(tmp_path) == set()


def test_files_in_use_by_another_process_are_kept(tmp_path: Path) -> None:
    with start_writer(tmp_path) as writer:
        before = names(tmp_path)
        assert len(before) == 2
        write_file(tmp_path / "new", b"new")
        assert names(tmp_path) == before | {"new"}
        writer.send_signal(signal.SIGKILL)


def test_files_in_use_by_this_process_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replacing(tmp_path / "outer") as file, staging_folder(tmp_path):
        monkeypatch.setattr(leftovers, "_searched", set())
        write_file(tmp_path / "inner", b"inner")
        assert len(names(tmp_path)) == 3
        file.write(b"outer")
    assert names(tmp_path) == {"outer", "inner"}
    assert (tmp_path / "outer").read_bytes() == b"outer"


def test_unlocked_names_and_symbolic_links_are_kept(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "photo").touch()
    plain, other = f"{PARTIAL}{'0' * 16}", f"{PARTIAL}other-held"
    link = f"{PARTIAL}{'1' * 16}-held"
    (tmp_path / plain).touch()
    (tmp_path / other).mkdir()
    (tmp_path / link).symlink_to(tmp_path / "far")
    write_file(tmp_path / "new", b"")
    assert names(tmp_path) == {"far", plain, other, link, "new"}
    assert names(tmp_path / "far") == {"photo"}


def test_without_locks_files_are_written_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = tmp_path / f"{PARTIAL}{'0' * 16}-held"
    leftover.touch()
    monkeypatch.setattr(leftovers, "fcntl", None)
    write_file(tmp_path / "new", b"new")
    with staging_folder(tmp_path) as own:
        assert not own.name.endswith("-held")
    assert names(tmp_path) == {"new", leftover.name}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system has no /proc/self/fd")
def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        write_file(tmp_path / str(number), b"")
        with staging_folder(tmp_path):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
