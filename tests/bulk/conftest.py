"""A tiny model, a few photos with odd names, and the analysis of all of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.scan.conftest import blobs, write_tiny
from zfscope.analysis.contract import API_VERSION, Analysis, Context
from zfscope.analysis.registry import RegisteredAnalyzer, Registry, load_analyzers
from zfscope.bulk import AnalysisTask, PhotoAnalyzer, RunManifest, SingleModelHost, analyze_photos
from zfscope.bulk.work import PhotoOutcomes
from zfscope.cancellation import Cancellation
from zfscope.datasets import open_data
from zfscope.parallel import Batch, Work
from zfscope.runtimes import create_runtime
from zfscope.store import Model, ModelStore

# Photos by the seeds that they are drawn from; two are the same picture.
PHOTOS = {"a/two words.png": 1, "a/été.png": 2, "b/copy of 2.png": 2, "b/窓.png": 3, "loose.png": 4}
BROKEN = "b/broken <b>.jpg"
# Windows of an eighth of the network's input.
QUICK: Mapping[str, Any] = {"window": 8, "stride": 8}


class NoParams(BaseModel):
    """No parameters."""


class Scripted:
    """An analyzer that calls a function."""

    name = "scripted"
    summary = "Calls a function."
    api_version = API_VERSION
    photos = (1, 1)
    params = NoParams

    def __init__(self, function: Callable[[Context], Analysis]) -> None:
        self.analyze = lambda context, params: function(context)

    def cost(self, model: Model, params: NoParams) -> int:
        """Return the cost."""
        return 1


def must_not_run(work: Work[PhotoOutcomes], batches: Iterable[Batch]) -> Iterator[PhotoOutcomes]:
    """An engine that fails."""
    raise AssertionError("the engine must not run")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photos in two classes, and one that is broken. Read-only."""
    root = tmp_path_factory.mktemp("bulk") / "photos"
    for name, seed in PHOTOS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        blobs(seed, size=(40 + 4 * (seed > 2), 44)).save(root / name)
    (root / BROKEN).write_text("no photo")
    return root


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the model `tiny`."""
    folder = tmp_path_factory.mktemp("bulk-models")
    write_tiny(folder)
    return folder


@pytest.fixture
def work(store: Path, tmp_path: Path) -> Callable[..., PhotoAnalyzer]:
    """Returns the work of an analyzer, by default the quick occlusion; `function` replaces it."""
    models = ModelStore(store)
    model = models.load("tiny")
    create = partial(create_runtime, "onnx", threads=1, cache=tmp_path / "graphs")

    def make_work(
        analyzer: str = "occlude",
        parameters: Mapping[str, Any] = QUICK,
        *,
        function: Callable[[Context], Analysis] | None = None,
        cancel: Cancellation | None = None,
        **task: Any,
    ) -> PhotoAnalyzer:
        registry = load_analyzers()
        if function:
            registry = Registry([RegisteredAnalyzer(Scripted(function), "scripts", "1")])
            analyzer, parameters = "scripted", {}
        host = SingleModelHost(model, models, create, analyzer, registry.registered(analyzer).package)
        vars(host)["registry"] = registry
        return PhotoAnalyzer(host, AnalysisTask(parameters, **task), cancel or Cancellation())

    return make_work


@pytest.fixture
def make(work: Callable[..., PhotoAnalyzer], photos: Path, tmp_path: Path) -> Callable[..., RunManifest]:
    """Runs an analyzer on the photos and writes `out/NAME`."""

    def make_run(
        name: str = "it", *, data: Path = photos, engine: Any = None, progress: Any = None, **options: Any
    ) -> RunManifest:
        chosen = {key: value for key, value in (("engine", engine), ("progress", progress)) if value}
        return analyze_photos(work(**options), open_data(data), tmp_path / "out" / name, **chosen)

    return make_run


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
