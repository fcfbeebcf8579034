"""An index opens only if it is intact and made with the model's weights; errors include a remedy."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.scan.conftest import BROKEN, LAYERS
from zfscope.errors import DamagedIndex, InputError, NotFound
from zfscope.runtimes import create_runtime
from zfscope.scan import (
    Index,
    build_index,
    indexes_folder,
    open_data,
    open_index,
    plan_scan,
    verify_indexes,
)
from zfscope.scan.tables import MAP_COLUMNS, RECORD_COLUMNS, SKIPPED_COLUMNS
from zfscope.store import Model, ModelStore

WriteModel = Callable[..., Path]


@pytest.fixture
def index(model: Model, photos: Path, tmp_path: Path) -> Index:
    """The index `val` in the folder of its model."""
    plan = plan_scan(model.network.spec, LAYERS, top=3)
    runtime = create_runtime("onnx", model, threads=1, cache=tmp_path / "graphs")
    return build_index(model, open_data(photos), plan, indexes_folder(model) / "val", runtime=runtime)


@pytest.fixture
def folder(index: Index, model: Model) -> Path:
    return indexes_folder(model) / "val"


def edit(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**manifest, **changes}))


def test_an_index_is_opened_by_name_from_the_models_folder(index: Index, model: Model) -> None:
    opened = open_index(model, "val")
    assert opened.name == "val"
    assert opened.layers == LAYERS
    assert opened.manifest == index.manifest
    assert opened.records("conv2", 3) == index.records("conv2", 3)
    assert len(opened.records("conv2", 3)) == 3


THREADS = """
import os, sys
from pathlib import Path
from zfscope.scan import open_index
from zfscope.store import ModelStore

def threads():
    names = (path.read_text() for path in Path("/proc/self/task").glob("*/comm"))
    return sum("jemalloc" not in name for name in names)

model, before = ModelStore(Path(sys.argv[1])).load("tiny"), threads()
open_index(model, "val")
print(before, threads())
"""


def test_opening_an_index_starts_no_thread_that_could_abort_the_process_at_its_end(
    index: Index, store: Path
) -> None:
    command = [sys.executable, "-c", THREADS, store]
    before, after = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert before == after


def test_an_index_can_be_opened_from_another_folder(folder: Path, model: Model, tmp_path: Path) -> None:
    shutil.move(folder, tmp_path / "elsewhere" / "val")
    assert open_index(model, "val", folder=tmp_path / "elsewhere").layers == LAYERS


def test_an_index_of_an_earlier_version_states_no_interpolation(folder: Path, model: Model) -> None:
    manifest = json.loads((folder / "index.json").read_text())
    del manifest["origin"]["model"]["preprocessing"]["interpolation"]
    edit(folder, **manifest)
    assert open_index(model, "val").manifest.origin.model.preprocessing == model.preprocessing


def test_an_index_is_immutable(index: Index) -> None:
    with pytest.raises(FrozenInstanceError):
        index.name = "other"  # type: ignore[misc]  # what mypy forbids is what is tested


def test_an_open_index_survives_the_removal_of_its_files(folder: Path, model: Model) -> None:
    opened = open_index(model, "val")
    shutil.rmtree(folder)
    assert [record.rank for record in opened.records("fc3", 8)] == [0, 1, 2]


@pytest.mark.parametrize("name", ["other", "", "..", "val/../val", "/etc"])
def test_an_unknown_index_is_reported_with_the_available_ones(index: Index, model: Model, name: str) -> None:
    with pytest.raises(
        NotFound, match=r"index '.*' of model 'tiny' version 1 not found in '.*'; available: val\."
    ) as caught:
        open_index(model, name)
    assert caught.value.field == "index"


def test_a_model_without_indexes_reports_how_to_build_one(model: Model) -> None:
    with pytest.raises(NotFound, match=r"available: none\. Build one with: zfscope index"):
        open_index(model, "val")


def test_an_unfinished_index_is_not_listed(model: Model) -> None:
    (indexes_folder(model) / ".val.unfinished").mkdir(parents=True)
    (indexes_folder(model) / "val").mkdir()
    with pytest.raises(NotFound, match="available: none"):
        open_index(model, "val")


def test_a_model_that_is_not_from_a_store_has_no_indexes_folder(model: Model) -> None:
    with pytest.raises(InputError, match="model 'tiny' version 1 is not from a store; give a folder"):
        open_index(replace(model, folder=None), "val")


def test_an_index_of_other_weights_is_rejected_with_a_remedy(
    folder: Path, store: Path, write_tiny_model: WriteModel
) -> None:
    other = write_tiny_model(store, seed=1, version=2)
    shutil.copytree(folder.parent, other / "indexes")
    edit(other / "indexes" / "val", origin=json.loads((folder / "index.json").read_text())["origin"])
    with pytest.raises(
        NotFound, match=r"not made with the current model 'tiny' version 2: it differs in version, weights"
    ) as caught:
        open_index(ModelStore(store).load("tiny"), "val")
    assert f"remove '{other}/indexes/val' and build it again with: zfscope index" in str(caught.value)
    assert caught.value.field == "index"


@pytest.mark.parametrize("file", ["records.parquet", "maps.parquet", "skipped.parquet"])
def test_a_changed_file_is_rejected(folder: Path, model: Model, file: str) -> None:
    with (folder / file).open("r+b") as opened:
        opened.seek(20)
        opened.write(b"\xff")
    with pytest.raises(DamagedIndex, match=f"index 'val': '{file}' does not match the manifest; remove '"):
        open_index(model, "val")


@pytest.mark.parametrize("file", ["records.parquet", "maps.parquet", "skipped.parquet"])
def test_a_missing_file_is_rejected(folder: Path, model: Model, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(DamagedIndex, match=f"index 'val': .*'{file}' is missing; .*build it again"):
        open_index(model, "val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"images": -1}, "images: "), ({"more": 1}, "more: "), ({"format_version": 2}, "format_version: ")],
)
def test_an_invalid_manifest_is_rejected(
    folder: Path, model: Model, changes: dict[str, Any], message: str
) -> None:
    edit(folder, **changes)
    with pytest.raises(DamagedIndex, match=f"index 'val': 'index.json': {message}"):
        open_index(model, "val")


def test_a_layer_that_is_not_indexed_is_reported_with_those_that_are(index: Index) -> None:
    message = "layer 'fc4' is not in index 'val'; available: conv1, conv2, fc3"
    calls = (index.alive, index.dead_maps, index.histogram, lambda layer: index.records(layer, 0))
    for call in calls:
        with pytest.raises(NotFound, match=message) as caught:
            call("fc4")
        assert caught.value.field == "layer"


@pytest.mark.parametrize("number", [-1, 6])
def test_a_map_out_of_range_is_reported(index: Index, number: int) -> None:
    with pytest.raises(NotFound, match=f"layer 'conv1' has no map {number}; allowed: 0 to 5") as caught:
        index.records("conv1", number)
    assert caught.value.field == "map"


class TestFiles:
    """The files as read by other programs."""

    def test_records_have_a_row_per_layer_map_and_rank(self, folder: Path) -> None:
        table = pq.read_table(folder / "records.parquet")
        assert table.schema.equals(RECORD_COLUMNS)
        maps = {"conv1": 6, "conv2": 10, "fc3": 9}
        rows = [
            (layer, number, rank) for layer in LAYERS for number in range(maps[layer]) for rank in range(3)
        ]
        columns = (table[name].to_pylist() for name in ("layer", "map", "rank"))
        assert list(zip(*columns, strict=True)) == rows
        assert "loose.gif" not in table["path"].to_pylist() or None in table["class"].to_pylist()

    def test_maps_have_a_row_per_map(self, folder: Path) -> None:
        table = pq.read_table(folder / "maps.parquet")
        assert table.schema.equals(MAP_COLUMNS)
        for row in table.to_pylist():
            assert row["images"] == sum(row["histogram"]) == 40
            assert row["alive"] == sum(row["histogram"][1:])

    def test_skipped_photos_have_a_row_each(self, folder: Path, photos: Path) -> None:
        table = pq.read_table(folder / "skipped.parquet")
        assert table.schema.equals(SKIPPED_COLUMNS)
        names = open_data(photos).names
        assert (
            [names[row["image"]] for row in table.to_pylist()] == table["path"].to_pylist() == sorted(BROKEN)
        )

    def test_the_manifest_records_the_inputs(self, folder: Path, model: Model, photos: Path) -> None:
        manifest = json.loads((folder / "index.json").read_text())
        origin = manifest["origin"]
        assert manifest["format_version"] == 1
        assert (manifest["images"], manifest["skipped"]) == (40, 5)
        assert len(manifest["histogram_edges"]) == 90
        assert set(manifest["files"]) == {
            "records.parquet",
            "maps.parquet",
            "skipped.parquet",
            "photos.parquet",
        }
        assert origin["model"]["weights_sha256"] == model.weights_sha256
        assert origin["data"]["root"] == str(photos)
        assert (origin["data"]["kind"], origin["data"]["photos"]) == ("folder", 45)
        assert origin["layers"][1] == {"name": "conv2", "maps": 10, "rows": 6, "columns": 8}
        assert origin["layers"][2] == {"name": "fc3", "maps": 9, "rows": 1, "columns": 1}
        assert (origin["top"], origin["rank"], origin["batch"]) == (3, "max", 16)

    def test_names_that_are_not_utf_8_are_written_escaped(
        self, model: Model, tmp_path: Path, draw: Callable[..., Any]
    ) -> None:
        data = tmp_path / os.fsdecode(b"caf\xe9")
        data.mkdir()
        draw(0).save(data / "fine.png")
        draw(1).save(data / os.fsdecode(b"\xe9.png"))
        plan = plan_scan(model.network.spec)
        runtime = create_runtime("torch", model)
        index = build_index(model, open_data(data), plan, tmp_path / "out" / "it", runtime=runtime)
        assert index.skipped == ((r"\xe9.png", "the file's name is not UTF-8; rename it"),)
        assert index.manifest.origin.data.root.endswith(r"/caf\xe9")


class TestStore:
    """Verification of models that have indexes."""

    def test_a_model_with_an_index_passes_verification(self, index: Index, store: Path) -> None:
        manifest = ModelStore(store).verify("tiny")
        assert not any(file.startswith("indexes") for file in manifest.files)
        verify_indexes(ModelStore(store).folder("tiny"))

    def test_an_index_of_other_weights_is_not_damage(
        self, folder: Path, store: Path, write_tiny_model: WriteModel
    ) -> None:
        other = write_tiny_model(store, seed=1, version=2)
        shutil.copytree(folder.parent, other / "indexes")
        verify_indexes(other)

    @pytest.mark.parametrize("file", ["records.parquet", "maps.parquet", "skipped.parquet", "index.json"])
    def test_a_damaged_file_is_named(self, folder: Path, store: Path, file: str) -> None:
        (folder / file).write_bytes(b"{}")
        with pytest.raises(DamagedIndex, match=f"index 'val': '{file}'"):
            verify_indexes(ModelStore(store).folder("tiny"))
