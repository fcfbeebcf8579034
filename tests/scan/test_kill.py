"""A scan killed at any line resumes and produces identical files."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.killed_command import killed_command
from zfscope.scan import Index

# Run by the process first, and files whose lines are counted.
PREPARE = """
import onnxruntime, pyarrow.parquet, torch
import zfscope.cli.index, zfscope.runtimes
from zfscope.scan import build
build.SAVE_EVERY_S = 0
"""
FILES = [f"zfscope/scan/{name}.py" for name in ("build", "state", "partial", "write", "tables")]

# Numbers of lines after which a process is killed, counting only lines that merge results, save the state and
# write the files: about 55 per batch, and 900 at the end.
DEATHS = (97, 150, 61, 203, 350, 850)


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
    options = ["--model", "tiny", "--layers", "conv1,conv2,fc3", "--name", "it", "--out", killed]
    environment = {"XDG_CACHE_HOME": tmp_path / "cache", "ZFSCOPE_STORE": store}
    arguments = ["index", many_photos, *options]
    with killed_command(arguments, prepare=PREPARE, files=FILES, environment=environment) as command:
        for lines in DEATHS:
            command.kill_after(lines)
            assert not (killed / "it").exists()
        assert (killed / ".it.unfinished" / "result" / "records.parquet").exists()
        command.run_to_end()
    assert contents(killed / "it") == contents(tmp_path / "out" / "whole")
    assert [path.name for path in killed.iterdir()] == ["it"]
