"""Opaque models over folders of photos: `run`, and indexes by threads and by Ray."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.analyzers.conftest import blobs
from tests.analyzers.opaque.conftest import ANALYZERS, analyze, context_of
from tests.support.indexes import index_photos
from tests.support.opaque_models import add_opaque_model
from tests.support.ray_cluster import small_cluster
from zfscope.bulk import AnalysisTask, PhotoAnalyzer, SingleModelHost, analyze_photos
from zfscope.cancellation import Cancellation
from zfscope.datasets import open_data
from zfscope.parallel.ray_engine import RayEngine
from zfscope.runtimes import create_runtime
from zfscope.scan import build_index, indexes_folder, open_index, plan_scan
from zfscope.store import Model, ModelStore

PHOTOS = 4
WINDOWS = {"window": 16, "stride": 8}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(PHOTOS):
        Image.fromarray(blobs(number)).save(folder / f"{number}.png")
    return folder


def test_a_run_over_a_folder_has_the_results_of_single_calls(
    model: Model, photos: Path, tmp_path: Path
) -> None:
    assert model.folder is not None
    create = partial(create_runtime, "onnx", threads=1)
    package = ANALYZERS.registered("occlude").package
    host = SingleModelHost(model, ModelStore(model.folder.parent.parent), create, "occlude", package)
    work = PhotoAnalyzer(host, AnalysisTask(WINDOWS), Cancellation())
    manifest = analyze_photos(work, open_data(photos), tmp_path / "out")
    assert (manifest.images, manifest.skipped) == (PHOTOS, 0)
    rows = pq.read_table(tmp_path / "out" / "results.parquet", use_threads=False).to_pylist()
    for number in range(PHOTOS):
        single = analyze("occlude", context_of(model, blobs(number)), **WINDOWS)
        (expected,) = single.tables["classes"].records()
        (found,) = [row for row in rows if row["path"] == f"{number}.png" and row["table"] == "classes"]
        assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_an_index_on_ray_is_that_of_threads(photos: Path, tmp_path: Path) -> None:
    model = add_opaque_model(tmp_path / "store", "vit")
    layers = plan_scan(model.spec).layers
    threads = index_photos(model, photos, "threads", layers)
    with small_cluster(1):
        target = indexes_folder(model) / "ray"
        runtime = create_runtime("onnx", model, threads=1)
        build_index(
            model, open_data(photos), plan_scan(model.spec), target, runtime=runtime, engine=RayEngine()
        )
    on_ray = open_index(model, "ray")
    for layer in layers:
        np.testing.assert_array_equal(on_ray.alive(layer), threads.alive(layer))
        for number in range(len(threads.alive(layer))):
            pairs = zip(on_ray.records(layer, number), threads.records(layer, number), strict=True)
            for one, other in pairs:
                assert (one.path, one.y, one.x) == (other.path, other.y, other.x)
                assert one.value == pytest.approx(other.value, abs=1e-5)
