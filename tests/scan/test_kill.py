"""A scan that is killed, at whatever line it happens to be, goes on and ends with the same files."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from zfscope.scan import Index

PROGRAM = """
import os, signal, sys
left = int(sys.argv.pop(1))

def at_line(frame, event, argument):
    global left
    left -= event == "line"
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return at_line

def at_call(frame, event, argument):
    return at_line if frame.f_code.co_filename.endswith(FILES) else None

import zfscope.cli.index
from zfscope.scan import build
FILES = tuple(f"zfscope/scan/{name}.py" for name in ("build", "state", "partial", "write", "tables"))
build.SAVE_EVERY_S = 0
sys.settrace(at_call)
zfscope.cli.main()
"""
DEATHS = (97, 150, 61, 203, 350, 850)
"""Lines after which a process dies, of those that put results together, save them and write the files: some
55 a batch, 900 at the end."""


def run(lines: int, photos: Path, store: Path, out: Path) -> int:
    """Index photos in a process that dies before so many lines are run; 0 lets it live."""
    arguments = ["index", photos, "--model", "tiny", "--layers", "conv1,conv2,fc3", "--name", "it"]
    settings = {"XDG_CACHE_HOME": str(out.parent / "cache"), "ZFSCOPE_STORE": str(store)}
    command = [sys.executable, "-c", PROGRAM, str(lines), *arguments, "--out", out]
    result = subprocess.run(
        command, env={**os.environ, **settings}, check=False, timeout=240, capture_output=True
    )
    return result.returncode


def test_killed_again_and_again_it_ends_with_the_same_bytes(
    make: Callable[..., Index],
    photos: Path,
    store: Path,
    tmp_path: Path,
    contents: Callable[[Path], Mapping[str, bytes]],
) -> None:
    many = tmp_path / "many"
    for part in "012":
        shutil.copytree(photos, many / part)
    make(many, name="whole")
    killed = tmp_path / "killed"
    for lines in DEATHS:
        assert run(lines, many, store, killed) == -signal.SIGKILL
        assert not (killed / "it").exists()
    assert (killed / ".it.unfinished" / "result" / "records.parquet").exists()
    assert run(0, many, store, killed) == 0
    assert contents(killed / "it") == contents(tmp_path / "out" / "whole")
    assert [path.name for path in killed.iterdir()] == ["it"]
