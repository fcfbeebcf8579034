"""Ray actors produce the same index as threads, even if some of them are killed."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import ray

from tests.scan.conftest import LAYERS, SPEC
from tests.support.imported_networks import add_model, squeeze_and_excitation
from tests.support.ray_cluster import small_cluster
from zfscope.datasets import Photo
from zfscope.errors import InputError, RuntimeUnavailable
from zfscope.parallel import Batch, Work, create_engine, ray_engine
from zfscope.parallel.ray_actor import installed_versions
from zfscope.parallel.ray_engine import AHEAD, RayEngine
from zfscope.runtimes import create_runtime
from zfscope.scan import Index, build, build_index, open_data, plan_scan
from zfscope.scan.partial import PartialResult
from zfscope.store import Model

CPUS = 2

Contents = Callable[[Path], Mapping[str, bytes]]


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    with small_cluster(CPUS):
        yield


@pytest.fixture
def _one_free() -> Iterator[None]:
    """Another task occupies one of the two CPUs."""

    class Occupant:
        def ready(self) -> None: ...

    occupant = ray.remote(num_cpus=1)(Occupant).remote()
    ray.get(occupant.ready.remote())
    yield
    ray.kill(occupant)


@pytest.fixture
def many_photos(photos: Path, tmp_path: Path) -> Path:
    """The photos three times (nine batches), and a photo whose name is not UTF-8."""
    for part in "012":
        shutil.copytree(photos, tmp_path / "many" / part)
    shutil.copyfile(photos / "a" / "00.png", os.fsencode(tmp_path / "many") + b"/\xff.png")
    return tmp_path / "many"


def batches(count: int) -> list[Batch]:
    return [Batch(number, (Photo(number, f"{number}.png", Path("/"), 0, 1),)) for number in range(count)]


def result_of(batch: Batch) -> PartialResult:
    return PartialResult(top=1, batches=1 << batch.number)


@dataclass(frozen=True)
class NotingScan:
    """A scan function that records its process id in a folder.

    Once the file `wait` exists there, it waits until a replacement process has started.
    """

    work: Work[PartialResult]
    folder: Path

    def __call__(self, batch: Batch) -> PartialResult:
        (self.folder / str(os.getpid())).touch()
        time.sleep(0.2)
        while (self.folder / "wait").exists() and len(self.processes()) <= CPUS:
            time.sleep(0.05)
        return self.work(batch)

    def processes(self) -> set[int]:
        return {int(path.name) for path in self.folder.iterdir() if path.name != "wait"}


def test_killing_an_actor_does_not_change_the_index(
    make: Callable[..., Index], many_photos: Path, tmp_path: Path, contents: Contents
) -> None:
    notes = tmp_path / "noted"
    notes.mkdir()

    def engine(work: Work[PartialResult], batches: Iterable[Batch]) -> Iterator[PartialResult]:
        slow = NotingScan(work, notes)
        for number, part in enumerate(RayEngine()(slow, batches)):
            if number == 1:
                os.kill(min(slow.processes()), signal.SIGKILL)
                (notes / "wait").touch()
            yield part
        assert os.getpid() not in slow.processes()

    make(many_photos, name="local")
    make(many_photos, name="ray", engine=engine)
    out = tmp_path / "out"
    assert contents(out / "ray") == contents(out / "local")
    assert sorted(path.name for path in out.iterdir()) == ["local", "ray"]


def test_an_imported_network_is_indexed_by_actors(photos: Path, tmp_path: Path, contents: Contents) -> None:
    model = add_model(tmp_path / "imported", squeeze_and_excitation())
    data, plan = open_data(photos), plan_scan(model.spec, ["depthwise.clip", "se", "sum"])
    for name in ("local", "ray"):
        runtime = create_runtime("onnx", model)
        build_index(model, data, plan, tmp_path / "out" / name, runtime=runtime, engine=create_engine(name))
    assert contents(tmp_path / "out" / "ray") == contents(tmp_path / "out" / "local")


def test_a_scan_started_by_actors_is_resumed_by_threads(
    model: Model, many_photos: Path, tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_data(many_photos)
    (many_photos / "1" / "c" / "00.webp").unlink()  # listed, but missing when it is read
    monkeypatch.setattr(build, "SAVE_EVERY_S", 0)

    def interrupted(work: Work[PartialResult], batches: Iterable[Batch]) -> Iterator[PartialResult]:
        for number, part in enumerate(RayEngine()(work, batches)):
            if number == 3:
                raise KeyboardInterrupt
            yield part

    def index(name: str, **options: object) -> None:
        plan = plan_scan(SPEC, LAYERS, rank="sum")
        runtime = create_runtime("torch", model)
        build_index(model, data, plan, tmp_path / "out" / name, runtime=runtime, **options)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        index("it", engine=interrupted)
    assert (tmp_path / "out" / ".it.unfinished" / "state.npz").exists()
    index("it")
    index("whole")
    assert contents(tmp_path / "out" / "it") == contents(tmp_path / "out" / "whole")


@pytest.mark.usefixtures("_one_free")
def test_only_a_few_batches_are_taken_ahead_and_errors_are_raised() -> None:
    taken = 0

    def endless() -> Iterator[Batch]:
        nonlocal taken
        for batch in batches(1000):
            taken += 1
            yield batch

    def work(batch: Batch) -> PartialResult:
        if batch.number == 30:
            raise InputError("no power", field="data")
        return result_of(batch)

    results: list[int] = []

    def scan() -> None:
        for part in create_engine("ray")(work, endless()):
            results.append(part.batches)
            assert taken - len(results) <= AHEAD + 1

    with pytest.raises(InputError, match=r"^no power$") as raised:
        scan()
    assert raised.value.field == "data"
    assert results == [1 << number for number in range(30)]


@pytest.mark.usefixtures("_one_free")
def test_a_photo_that_actors_cannot_read_stops_the_scan(model: Model, photos: Path, tmp_path: Path) -> None:
    handle = os.open(photos, os.O_RDONLY)
    only_here = Path(f"/proc/self/fd/{handle}")  # readable by this process only
    data = replace(open_data(photos), root=only_here)
    plan = plan_scan(SPEC, LAYERS)
    runtime = create_runtime("onnx", model, threads=1, cache=tmp_path / "graphs")
    message = (
        rf"^machine '.+' of the Ray cluster cannot read '{only_here}/a/00\.png'; every machine needs the"
    )
    try:
        with pytest.raises(RuntimeUnavailable, match=message):
            build_index(model, data, plan, tmp_path / "it", runtime=runtime, engine=RayEngine())
    finally:
        os.close(handle)
    assert list(tmp_path.glob(".it*")) == []


@pytest.mark.usefixtures("_one_free")
def test_a_batch_that_kills_actors_stops_the_scan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ray_engine, "DEATHS", 2)
    arrived = tmp_path / "arrived"

    def work(batch: Batch) -> PartialResult:
        if batch.number == 2:
            while not arrived.exists():  # earlier results may not have arrived yet
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return result_of(batch)

    def scan() -> None:
        for number, _ in enumerate(RayEngine()(work, batches(9))):
            if number == 1:
                arrived.touch()

    with pytest.raises(
        RuntimeUnavailable, match=r"^stopped after 2 Ray actors died on the photos from '2\.png' on"
    ):
        scan()


@pytest.mark.usefixtures("_one_free")
def test_a_machine_with_other_software_stops_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = installed_versions() | {"pillow": "1.7.8"}
    monkeypatch.setattr(ray_engine, "installed_versions", lambda: installed)
    message = (
        r"^machine '.+' of the Ray cluster has pillow [0-9.]+ \(not 1\.7\.8\); install the same versions"
    )
    with pytest.raises(RuntimeUnavailable, match=message):
        list(RayEngine()(result_of, batches(3)))


def test_no_batches_give_no_results_and_no_telemetry() -> None:
    assert list(RayEngine()(result_of, [])) == []
    setting = ray.remote(lambda: os.environ["RAY_USAGE_STATS_ENABLED"]).options(num_cpus=1)
    assert ray.get(setting.remote()) == "0"
