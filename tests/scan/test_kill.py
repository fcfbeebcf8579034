"""A scan killed at any line resumes and produces identical files."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from zfscope.scan import Index

# A process that imports everything. For each number it reads, a fork runs the command and is killed before
# executing that many lines; at the end of its input, the process runs the command itself.
PROGRAM = """
import os, signal, sys
import onnxruntime, pyarrow.parquet, torch
import zfscope.cli.index, zfscope.runtimes
from zfscope.scan import build

FILES = tuple(f"zfscope/scan/{name}.py" for name in ("build", "state", "partial", "write", "tables"))
build.SAVE_EVERY_S = 0

def die_before(left):
    def at_line(frame, event, argument):
        nonlocal left
        left -= event == "line"
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return at_line

    sys.settrace(lambda frame, *_: at_line if frame.f_code.co_filename.endswith(FILES) else None)

for line in sys.stdin:
    process = os.fork()
    if not process:
        die_before(int(line))
        break
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
zfscope.cli.main()
"""

# Numbers of lines after which a process is killed, counting only lines that merge results, save the state and
# write the files: about 55 per batch, and 900 at the end.
DEATHS = (97, 150, 61, 203, 350, 850)


@contextmanager
def command(photos: Path, store: Path, out: Path) -> "Iterator[subprocess.Popen[str]]":
    """Start PROGRAM with a command that indexes photos."""
    arguments = ["index", photos, "--model", "tiny", "--layers", "conv1,conv2,fc3", "--name", "it"]
    settings = {"XDG_CACHE_HOME": str(out.parent / "cache"), "ZFSCOPE_STORE": str(store)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments, "--out", out],
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_repeated_kills_do_not_change_the_resulting_bytes(
    make: Callable[..., Index],
    photos: Path,
    store: Path,
    tmp_path: Path,
    contents: Callable[[Path], Mapping[str, bytes]],
) -> None:
    many_photos = tmp_path / "many"
    for part in "012":
        shutil.copytree(photos, many_photos / part)
    make(many_photos, name="whole")
    killed = tmp_path / "killed"
    with command(many_photos, store, killed) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for lines in DEATHS:
            print(lines, file=process.stdin, flush=True)
            assert int(process.stdout.readline()) == -signal.SIGKILL
            assert not (killed / "it").exists()
        assert (killed / ".it.unfinished" / "result" / "records.parquet").exists()
        process.communicate(timeout=240)
        assert process.returncode == 0
    assert contents(killed / "it") == contents(tmp_path / "out" / "whole")
    assert [path.name for path in killed.iterdir()] == ["it"]
