"""A probe killed at any line resumes and produces identical files."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.probe.conftest import results
from tests.support.killed_command import killed_command
from zfscope.probe import ProbeResult

# Run by the process first, and files whose lines are counted.
PREPARE = """
import onnxruntime, pyarrow.parquet, sklearn.linear_model, threadpoolctl, torch
import zfscope.cli.probe, zfscope.probe.figure
from zfscope.probe import extract
"""
FILES = [f"zfscope/probe/{name}.py" for name in ("build", "features", "fits", "journal", "figure")]

# Numbers of lines after which a process is killed, counting only lines that save features and results: at the
# start, while features are computed, between classifiers, and before the result is written.
DEATHS = (30, 300, 420, 500, 600, 500, 520, 660)


def test_repeated_kills_do_not_change_the_resulting_bytes(
    make: Callable[..., ProbeResult], photos: Path, store: Path, tmp_path: Path
) -> None:
    many_photos = tmp_path / "many"
    for part in "012":
        shutil.copytree(photos, many_photos / part / "of", ignore=shutil.ignore_patterns("loose.png"))
    seen: set[tuple[int, ...]] = set()
    options = ["--per-class", "2,4", "--splits", "2", "--test-per-class", "4", "--model", "tiny"]
    killed = tmp_path / "killed" / "it"
    environment = {"XDG_CACHE_HOME": tmp_path / "cache", "ZFSCOPE_STORE": store}
    arguments = ["probe", many_photos, *options, "--out", killed]
    with killed_command(arguments, prepare=PREPARE, files=FILES, environment=environment) as command:
        for lines in DEATHS:
            command.kill_after(lines)
            assert not (killed / "probe.json").exists()
            journals = (killed / name for name in ("photos.jsonl", "classifiers.jsonl"))
            seen.add(tuple(path.read_text().count("\n") if path.exists() else 0 for path in journals))
        command.run_to_end()
    whole = make("whole", data=many_photos, test_per_class=4)
    photos_done, classifiers_done = zip(*seen, strict=True)
    assert len({*photos_done} - {0}) > 1
    assert len({*classifiers_done} - {0}) > 1
    assert results(killed) == results(tmp_path / "out" / "whole")
    assert whole.features.skipped
