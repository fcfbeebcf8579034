"""Ray actors write the same run as threads, even if some of them are killed."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.bulk.conftest import contents
from tests.support.ray_cluster import small_cluster
from zfscope.bulk import PhotoAnalyzer, RunManifest
from zfscope.bulk.work import PhotoOutcomes
from zfscope.errors import RuntimeUnavailable
from zfscope.parallel import Batch, Work
from zfscope.parallel.ray_engine import RayEngine

CPUS = 2


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with small_cluster(CPUS):
        yield


@dataclass(frozen=True)
class NotingWork:
    """Work that records its process id in a folder, and waits for the replacement of a killed process."""

    work: Work[PhotoOutcomes]
    folder: Path

    def __call__(self, batch: Batch) -> PhotoOutcomes:
        (self.folder / str(os.getpid())).touch()
        time.sleep(0.2)  # so that neither process takes all batches
        while (self.folder / "killed").exists() and len(self.processes()) <= CPUS:
            time.sleep(0.05)
        return self.work(batch)

    def processes(self) -> list[int]:
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name != "killed")


@pytest.fixture
def many_photos(photos: Path, tmp_path: Path) -> Path:
    """The photos three times: after the first results, batches remain for the replacement of a process."""
    for part in "012":
        shutil.copytree(photos, tmp_path / "many" / part)
    return tmp_path / "many"


def test_killing_an_actor_changes_nothing_and_threads_resume_what_actors_began(
    make: Callable[..., RunManifest], many_photos: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "noted"
    notes.mkdir()

    def engine(work: Work[PhotoOutcomes], batches: Iterable[Batch]) -> Iterator[PhotoOutcomes]:
        noting = NotingWork(work, notes)
        for number, result in enumerate(RayEngine()(noting, batches)):
            yield result
            if number == 0:
                os.kill(noting.processes()[0], signal.SIGKILL)
                (notes / "killed").touch()
            if number == 3:
                raise KeyboardInterrupt
        assert os.getpid() not in noting.processes()

    make("local", data=many_photos, tensors=True, pictures=True)
    with pytest.raises(KeyboardInterrupt):
        make("ray", data=many_photos, tensors=True, pictures=True, engine=engine)
    make("ray", data=many_photos, tensors=True, pictures=True)
    assert contents(tmp_path / "out" / "ray") == contents(tmp_path / "out" / "local")


def test_an_actor_without_the_same_analyzer_stops_the_run(
    make: Callable[..., RunManifest], work: Callable[..., PhotoAnalyzer]
) -> None:
    def engine(given: Work[PhotoOutcomes], batches: Iterable[Batch]) -> Iterator[PhotoOutcomes]:
        assert isinstance(given, PhotoAnalyzer)
        newer = replace(given, host=replace(given.host, package="zfscope 9"))
        yield from RayEngine()(newer, batches)

    message = r"^machine '.+' has analyzer 'occlude' of zfscope 0\.1\.0 \(not zfscope 9\); install the same"
    with pytest.raises(RuntimeUnavailable, match=message):
        make(engine=engine)
