"""Atomic file writes, under failures of every kind."""

import errno
import os
import re
import stat
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from zfscope.errors import CannotWrite, InputError
from zfscope.files import (
    exclusive_folder,
    locked,
    make_folder,
    replacing,
    staging_folder,
    write_file,
    writing,
)


def write_half(path: Path, fault: BaseException) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise fault


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_replaced_and_no_temporary_file_remains(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"one")
    write_file(tmp_path / "a", b"two", durable=True)
    assert (tmp_path / "a").read_bytes() == b"two"
    assert names(tmp_path) == {"a"}


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_earlier_file(tmp_path: Path, fault: BaseException) -> None:
    write_file(tmp_path / "a", b"before")
    with pytest.raises((CannotWrite, KeyboardInterrupt)):
        write_half(tmp_path / "a", fault)
    assert (tmp_path / "a").read_bytes() == b"before"
    assert names(tmp_path) == {"a"}


def test_a_full_disk_is_reported_with_path_and_advice(small_disk: Path) -> None:
    target = small_disk / "picture.png"
    message = f"'{target}' cannot be written: No space left on device; free some space there, or write to"
    with pytest.raises(CannotWrite, match=re.escape(message)):
        write_file(target, bytes(2 << 20))
    assert names(small_disk) == set()
    write_file(target, b"small")
    with pytest.raises(CannotWrite):
        write_file(target, bytes(2 << 20), durable=True)
    assert target.read_bytes() == b"small"
    assert names(small_disk) == {"picture.png"}


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EROFS, "Read-only file system; write to another folder"),
        (errno.EACCES, "Permission denied; change its permissions, or write to another folder"),
        (errno.EIO, "Input/output error$"),
    ],
)
def test_errors_of_the_operating_system_include_advice(number: int, advice: str) -> None:
    with (
        pytest.raises(CannotWrite, match=f"^'there/a' cannot be written: {advice}"),
        writing(Path("there/a")),
    ):
        raise OSError(number, os.strerror(number), "another name")


def test_a_folder_below_a_file_cannot_be_created(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"")
    with pytest.raises(CannotWrite, match="Not a directory; choose a folder that is not below a file"):
        make_folder(tmp_path / "a" / "b")
    with pytest.raises(CannotWrite, match="File exists"):
        make_folder(tmp_path / "a")


def test_a_symbolic_link_is_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "file")
    write_file(tmp_path / "link", b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "file").read_bytes() == b"data"
    assert names(tmp_path / "far") == {"file"}


def test_a_replaced_file_keeps_its_permissions_and_a_new_one_gets_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_file(tmp_path / "new", b"")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "plain").chmod(0o640)
    write_file(tmp_path / "plain", b"data")
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o640


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no /dev/stdout")
def test_a_path_that_is_not_a_regular_file_is_written_in_place(tmp_path: Path) -> None:
    lines = ["from pathlib import Path", "from zfscope.files import write_file"]
    code = "\n".join([*lines, "write_file(Path('/dev/stdout'), b'data')"])
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert process.stdout == b"data"
    with (tmp_path / "into").open("wb") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert (tmp_path / "into").read_bytes() == b"data"


def test_a_staging_folder_is_removed_with_its_contents(tmp_path: Path) -> None:
    with staging_folder(tmp_path) as folder:
        (folder / "a").write_bytes(b"half")
    assert names(tmp_path) == set()
    with pytest.raises(CannotWrite, match="No such file or directory"), staging_folder(tmp_path / "none"):
        pass


HOLD = """
import sys
from pathlib import Path
from zfscope.files import locked
with locked(Path(sys.argv[1]), None):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_excludes_other_processes_until_its_holder_ends(tmp_path: Path) -> None:
    path, busy = tmp_path / "lock", InputError("another process writes there")
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process writes there"), locked(path, busy):
            pass
        holder.kill()
        holder.wait(timeout=30)
    with locked(path, busy):
        pass


def test_a_lock_can_be_acquired_again_in_the_same_process(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "lock", InputError("busy")):
            pass


def test_an_exclusive_folder_is_tidied_unless_another_process_uses_it(tmp_path: Path) -> None:
    folder, tidied, busy = tmp_path / "work", [], InputError("busy")

    def exclusive() -> AbstractContextManager[None]:
        return exclusive_folder(folder, busy=busy, unwritable=lambda error: error, tidy=tidied.append)

    command = [sys.executable, "-c", HOLD, str(folder / "lock")]
    folder.mkdir()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="busy"), exclusive():
            pass
        holder.kill()
    assert tidied == []
    with exclusive():
        assert tidied == []
    assert tidied == [folder]


def test_an_unwritable_exclusive_folder_raises_the_error_of_the_caller(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(InputError, match="elsewhere: Not a directory"),
        exclusive_folder(
            tmp_path / "file" / "work",
            busy=InputError("busy"),
            unwritable=lambda error: InputError(f"elsewhere: {error.reason}"),
            tidy=lambda folder: None,
        ),
    ):
        pass
