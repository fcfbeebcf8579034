"""Interrupted runs resume and write identical files, wherever they are killed."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.bulk.conftest import QUICK, contents, must_not_run
from tests.support.killed_command import killed_command
from zfscope.bulk import RunManifest
from zfscope.bulk.work import PhotoOutcomes
from zfscope.errors import InputError
from zfscope.parallel import Batch, Work

Make = Callable[..., RunManifest]
ALL: dict[str, Any] = {"tensors": True, "pictures": True}


def interrupted(work: Work[PhotoOutcomes], batches: Iterable[Batch]) -> Iterator[PhotoOutcomes]:
    yield from map(work, islice(batches, 2))
    raise KeyboardInterrupt


def test_an_interrupted_run_resumes_and_writes_identical_files(make: Make, tmp_path: Path) -> None:
    make("whole", **ALL)
    with pytest.raises(KeyboardInterrupt):
        make(engine=interrupted, **ALL)
    reported: list[tuple[int, int]] = []
    make(progress=lambda done, total: reported.append((done, total)), **ALL)
    assert reported == [(done, 6) for done in (3, 4, 5, 6)]
    assert contents(tmp_path / "out" / "it") == contents(tmp_path / "out" / "whole")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["it", "whole"]


def test_an_interrupted_run_is_not_resumed_with_other_parameters(make: Make) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(engine=interrupted)
    message = r"\.it\.unfinished' holds an unfinished run that differs in parameters; use the same options to"
    with pytest.raises(InputError, match=message) as caught:
        make(engine=must_not_run, parameters={**QUICK, "top": 2})
    assert caught.value.field == "out"


@pytest.mark.parametrize(("suffix", "task"), [("json", {}), ("npz", {"tensors": True})])
def test_a_damaged_outcome_is_reported_with_a_remedy(
    make: Make, tmp_path: Path, suffix: str, task: dict[str, Any]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(engine=interrupted, **task)
    path = tmp_path / "out" / ".it.unfinished" / "photos" / f"000000.{suffix}"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=rf"000000\.{suffix}' cannot be read .*; remove its folder to start"):
        make(**task)


# Run by the process first, and files whose lines are counted.
PREPARE = """
import onnxruntime, pyarrow.parquet, torch
import zfscope.bulk, zfscope.cli.run, zfscope.images.plotting, zfscope_analyzers.occlude.analyzer
torch.set_num_threads(1)
"""
FILES = [f"zfscope/bulk/{name}.py" for name in ("build", "parts", "sheet", "tables", "tensors", "write")]

# Numbers of lines after which a process is killed, counting only lines that save outcomes and write files:
# about 45 per photo, and 2000 at the end.
DEATHS = (60, 115, 700, 2050)


def test_repeated_kills_do_not_change_the_resulting_bytes(
    make: Make, photos: Path, store: Path, tmp_path: Path
) -> None:
    make("whole", **ALL)
    killed = tmp_path / "killed"
    options = ["--window", "8", "--stride", "8", "--tensors", "--pictures", "--threads", "1"]
    environment = {"XDG_CACHE_HOME": tmp_path / "cache", "ZFSCOPE_STORE": store}
    arguments = ["run", "occlude", photos, "--out", killed / "it", *options]
    with killed_command(arguments, prepare=PREPARE, files=FILES, environment=environment) as command:
        for lines in DEATHS:
            command.kill_after(lines)
            assert not (killed / "it").exists()
        assert (killed / ".it.unfinished" / "result" / "results.parquet").exists()
        command.run_to_end()
    assert contents(killed / "it") == contents(tmp_path / "out" / "whole")
    assert [path.name for path in killed.iterdir()] == ["it"]
