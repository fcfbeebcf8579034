"""Interrupted scans resume and produce identical files."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.scan.conftest import must_not_run
from zfscope.errors import InputError
from zfscope.parallel import Batch, Work
from zfscope.scan import Index
from zfscope.scan.partial import PartialResult

pytestmark = pytest.mark.usefixtures("_always_saved")

Make = Callable[..., Index]
Contents = Callable[[Path], Mapping[str, bytes]]


def interrupted(work: Work[PartialResult], batches: Iterable[Batch]) -> Iterator[PartialResult]:
    yield work(next(iter(batches)))
    raise KeyboardInterrupt


@pytest.fixture
def _always_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfscope.scan.build.SAVE_EVERY_S", 0)


def test_an_interrupted_scan_resumes_and_produces_identical_files(
    make: Make, photos: Path, tmp_path: Path, contents: Contents
) -> None:
    make(photos, name="whole")
    with pytest.raises(KeyboardInterrupt):
        make(photos, engine=interrupted)
    reported: list[int] = []
    make(photos, progress=lambda done, total: reported.append(done))
    assert reported[0] == 16
    assert contents(tmp_path / "out" / "it") == contents(tmp_path / "out" / "whole")


def test_an_interrupted_scan_is_not_resumed_with_other_options(make: Make, photos: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(photos, engine=interrupted)
    message = r"\.it\.unfinished' holds an unfinished index that differs in rank; use the same options"
    with pytest.raises(InputError, match=message) as caught:
        make(photos, rank="sum", engine=must_not_run)
    assert caught.value.field == "name"


def test_a_damaged_state_is_reported_with_a_remedy(make: Make, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(photos, engine=interrupted)
    state = tmp_path / "out" / ".it.unfinished" / "state.npz"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"state\.npz' cannot be read .*; remove its folder to start again"):
        make(photos, engine=must_not_run)


def test_partial_files_left_by_a_kill_are_rewritten(
    make: Make, photos: Path, tmp_path: Path, contents: Contents
) -> None:
    make(photos, name="whole")
    draft = tmp_path / "out" / ".it.unfinished" / "result"
    draft.mkdir(parents=True)
    (draft / "records.parquet").write_bytes(b"half of")
    make(photos)
    assert contents(tmp_path / "out" / "it") == contents(tmp_path / "out" / "whole")


def test_a_leftover_folder_next_to_a_finished_index_is_removed(
    make: Make, photos: Path, tmp_path: Path
) -> None:
    make(photos)
    (tmp_path / "out" / ".it.unfinished").mkdir()
    make(photos)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["it"]
