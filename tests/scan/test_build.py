"""Index contents match full activations, regardless of the engine, kills and broken photos."""

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.scan.conftest import BROKEN, LAYERS, must_not_run
from zfscope.engine import trace
from zfscope.errors import InputError, NotFound
from zfscope.images.decode import decode
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Prepared, prepare
from zfscope.parallel import Batch, Work
from zfscope.scan import Index, open_data
from zfscope.scan.partial import EDGES, PartialResult
from zfscope.scan.reload import photo_source, reload_photo
from zfscope.store import Model

Make = Callable[..., Index]
Contents = Callable[[Path], Mapping[str, bytes]]
Activations = Mapping[str, Mapping[int, NDArray[np.float32]]]


@pytest.fixture
def activations(model: Model, photos: Path) -> Activations:
    """Full activations (maps, positions) by layer and photo: one photo at a time, by torch, not reduced."""
    result: dict[str, dict[int, NDArray[np.float32]]] = {layer: {} for layer in LAYERS}
    for number, name in enumerate(open_data(photos).names):
        if name not in BROKEN:
            pixels = prepare(decode((photos / name).read_bytes()), model.preprocessing).pixels
            outputs = trace(model.network, torch.from_numpy(pixels)).outputs
            for layer in LAYERS:
                result[layer][number] = outputs[layer][0].reshape(outputs[layer].shape[1], -1).numpy()
    return result


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
@pytest.mark.parametrize("rank", ["max", "sum"])
@pytest.mark.parametrize("top", [1, 9, 100])
def test_strongest_photos_match_those_of_full_activations(
    make: Make, photos: Path, model: Model, activations: Activations, runtime: str, rank: str, top: int
) -> None:
    index = make(photos, runtime=runtime, rank=rank, top=top)
    names = open_data(photos).names
    for layer in LAYERS:
        columns = model.network.shapes[layer][-1] if layer != "fc3" else 1
        for number in range(model.network.shapes[layer][0]):
            values = {photo: maps[number] for photo, maps in activations[layer].items()}
            score = np.max if rank == "max" else np.sum
            expected = sorted(values, key=lambda photo: (-score(values[photo]), photo))[:top]
            records = index.records(layer, number)
            assert [record.image for record in records] == expected
            assert [record.rank for record in records] == list(range(len(expected)))
            for record in records:
                activation = values[record.image]
                assert (record.y, record.x) == divmod(int(activation.argmax()), columns)
                assert record.value == pytest.approx(activation.max(), abs=1e-4)
                assert record.score == pytest.approx(score(activation), rel=1e-4, abs=1e-4)
                assert record.path == names[record.image]
                assert record.label == ("" if record.path == "loose.gif" else record.path[0])
                data = (photos / record.path).read_bytes()
                assert record.blake2b == hashlib.blake2b(data, digest_size=16).hexdigest()


def test_dead_maps_and_histograms_match_those_of_full_activations(
    make: Make, photos: Path, activations: Activations
) -> None:
    index = make(photos)
    for layer in LAYERS:
        maxima = np.stack([maps.max(1) for maps in activations[layer].values()])
        np.testing.assert_array_equal(index.alive(layer), (maxima > 0).sum(0))
        dead = np.flatnonzero((maxima <= 0).all(0))
        assert index.dead_maps(layer) == tuple(dead)
        for number, column in enumerate(maxima.T):
            expected = np.bincount((column[:, None] >= EDGES).sum(1), minlength=len(EDGES) + 1)
            np.testing.assert_array_equal(index.histogram(layer)[number], expected)
    assert 2 in index.dead_maps("conv1")
    assert 4 in index.dead_maps("fc3")
    assert index.dead_maps("conv2") == ()


def test_strongest_maps_are_sorted_by_their_strongest_photo_then_by_number(make: Make, photos: Path) -> None:
    index = make(photos, rank="sum")
    for layer in index.layers:
        best = [index.records(layer, number)[0].score for number in range(len(index.alive(layer)))]
        assert index.strongest_maps(layer) == sorted(
            range(len(best)), key=lambda number: (-best[number], number)
        )
    with pytest.raises(NotFound, match="layer 'conv9' is not in index"):
        index.strongest_maps("conv9")


def test_broken_photos_are_skipped_and_listed_with_reasons(make: Make, photos: Path) -> None:
    index = make(photos)
    assert [path for path, _ in index.skipped] == sorted(BROKEN)
    assert dict(index.skipped)["b/text.jpg"].startswith("the file is not an image")
    assert (index.manifest.images, index.manifest.skipped) == (40, 5)


def test_broken_neighbours_do_not_change_a_photos_activations(
    make: Make, photos: Path, tmp_path: Path
) -> None:
    repaired = shutil.copytree(photos, tmp_path / "repaired")
    for name in BROKEN:
        shutil.copyfile(photos / "a" / "00.png", repaired / name)
    before, after = make(photos, top=100), make(repaired, name="repaired", top=100)
    for layer in LAYERS:
        for number in range(4):
            whole = {record.path: record for record in after.records(layer, number)}
            for record in before.records(layer, number):
                twin = whole[record.path]
                assert (twin.value, twin.y, twin.x) == (record.value, record.y, record.x)


def test_copies_of_a_photo_are_ranked_by_number(make: Make, photos: Path) -> None:
    index = make(photos, top=100)
    twins = [f"{folder}/twin.png" for folder in "abc"]
    for layer in LAYERS:
        records = index.records(layer, 0)
        first = next(record.rank for record in records if record.path == twins[0])
        assert [record.path for record in records[first : first + 3]] == twins
        assert len({record.value for record in records[first : first + 3]}) == 1


def in_reverse(work: Work[PartialResult], batches: Iterable[Batch]) -> Iterator[PartialResult]:
    for batch in reversed(list(batches)):
        yield work(batch)


def merged_in_random_order(work: Work[PartialResult], batches: Iterable[Batch]) -> Iterator[PartialResult]:
    merged, *parts = [work(batch) for batch in batches]
    for part in random.Random(0).sample(parts, len(parts)):
        merged = part.merge(merged)
    yield merged


@pytest.mark.parametrize("engine", [in_reverse, merged_in_random_order])
def test_the_order_and_grouping_of_batches_does_not_change_the_files(
    make: Make, photos: Path, tmp_path: Path, contents: Contents, engine: Any
) -> None:
    make(photos)
    make(photos, name="other", engine=engine)
    assert contents(tmp_path / "out" / "it") == contents(tmp_path / "out" / "other")


@pytest.mark.parametrize("cpus", [1, 5])
def test_the_number_of_cpus_does_not_change_the_files(
    make: Make, photos: Path, tmp_path: Path, contents: Contents, cpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(photos)
    monkeypatch.setattr(os, "process_cpu_count", lambda: cpus, raising=False)
    monkeypatch.setattr("zfscope.processors.cpu_quota", lambda: None)
    make(photos, name="other")
    assert contents(tmp_path / "out" / "it") == contents(tmp_path / "out" / "other")


def test_progress_counts_all_photos_including_broken_ones(make: Make, photos: Path) -> None:
    reported: list[tuple[int, int]] = []
    make(photos, progress=lambda done, total: reported.append((done, total)))
    assert reported[0] == (0, 45)
    assert reported[-1] == (45, 45)
    assert [done for done, _ in reported] == sorted(done for done, _ in reported)


def test_no_temporary_files_remain_next_to_the_index(make: Make, photos: Path, tmp_path: Path) -> None:
    make(photos)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["it"]
    files = {"index.json", "records.parquet", "maps.parquet", "skipped.parquet", "photos.parquet"}
    assert {path.name for path in (tmp_path / "out" / "it").iterdir()} == files


def test_an_existing_index_is_returned_without_a_scan(make: Make, photos: Path) -> None:
    made = make(photos)
    assert make(photos, engine=must_not_run).manifest == made.manifest


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        ({"top": 3}, "top"),
        ({"rank": "sum"}, "rank"),
        ({"layers": ["conv1"], "top": 2}, "layers, top"),
        ({"runtime": "torch"}, "runtime"),
    ],
)
def test_an_index_made_with_other_options_is_not_overwritten(
    make: Make, photos: Path, options: dict[str, Any], differs: str
) -> None:
    make(photos)
    with pytest.raises(
        InputError, match=f"out/it' is an index that differs in {differs}; choose another --name"
    ) as caught:
        make(photos, engine=must_not_run, **options)
    assert caught.value.field == "name"


def test_an_index_of_other_photos_is_not_overwritten(make: Make, photos: Path) -> None:
    make(photos)
    with pytest.raises(InputError, match="is an index that differs in data"):
        make(photos / "a", engine=must_not_run)


def test_photos_changed_since_indexing_are_counted_and_named(
    make: Make, photos: Path, tmp_path: Path
) -> None:
    photos = shutil.copytree(photos, tmp_path / "copied", symlinks=True)
    make(photos)
    (photos / "a" / "00.png").unlink()
    (photos / "a" / "01.png").write_bytes((photos / "a" / "01.png").read_bytes() + b"more")
    for number in range(4):
        (photos / "c" / f"new{number}.png").write_bytes((photos / "a" / "02.png").read_bytes())
    message = (
        r"is an index that differs in data \(photos: 4 added \('c/new0.png', 'c/new1.png', 'c/new2.png', "
        r"...\), 1 removed \('a/00.png'\), 1 changed \('a/01.png'\)\); choose another"
    )
    with pytest.raises(InputError, match=message):
        make(photos, engine=must_not_run)


def test_two_processes_cannot_build_the_same_index(make: Make, photos: Path) -> None:
    def meanwhile(work: Work[PartialResult], batches: Iterable[Batch]) -> Iterator[PartialResult]:
        with pytest.raises(InputError, match=r"another process is already building '.*/out/it'"):
            make(photos, engine=must_not_run)
        for batch in batches:
            yield work(batch)

    make(photos, engine=meanwhile)


def test_a_data_set_without_usable_photos_is_rejected_with_the_first_reason(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    for number in range(20):
        (tmp_path / "data" / f"{number:02}.jpg").write_text("no photo")
    with pytest.raises(
        InputError, match=r"none of the 20 photos in '.*' can be used; '00\.jpg': the file is not"
    ) as caught:
        make(tmp_path / "data")
    assert caught.value.field == "data"
    assert not (tmp_path / "out").exists()


def test_a_photo_that_overflows_in_a_layer_is_skipped(make: Make, photos: Path, model: Model) -> None:
    with torch.no_grad():
        model.network.filters["conv2"].weight.fill_(3e38)
    with pytest.raises(InputError, match="its activations of layer 'conv2' are not finite"):
        make(photos, layers=["conv1", "conv2"])


def test_an_unwritable_folder_is_reported_with_a_remedy(make: Make, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("no folder")
    with pytest.raises(
        InputError, match=r"the index cannot be written to '.*/out/it': .*; choose another folder with --out"
    ) as caught:
        make(photos, engine=must_not_run)
    assert caught.value.field == "out"


def test_an_unknown_layer_is_reported(make: Make, photos: Path) -> None:
    with pytest.raises(NotFound, match="layer 'conv9' not found"):
        make(photos, layers=["conv9"])


def test_limits_of_the_environment_are_recorded_and_applied_on_reload(
    make: Make, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "large"
    data.mkdir()
    pixels = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    large = Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC)
    large.save(data / "a.jpg")
    large.save(data / "b.png")
    large.resize((40, 30)).save(data / "c.png")
    monkeypatch.setenv("ZFSCOPE_MAX_IMAGE_PIXELS", "1300")
    index = make(data)
    assert index.manifest.origin.limits == DecodeLimits(pixels=1300)
    (skipped,) = index.skipped
    assert skipped[0] == "b.png"
    assert "allowed: at most 1,300" in skipped[1]
    monkeypatch.delenv("ZFSCOPE_MAX_IMAGE_PIXELS")
    record = next(record for record in index.records(LAYERS[0], 0) if record.path == "a.jpg")
    reloaded = reload_photo(photo_source(index), record, model)
    assert isinstance(reloaded, Prepared)
    assert reloaded.photo.shape == (30, 40, 3)
    assert reloaded.geometries[0].photo_size == (60, 80)
    assert [notice.field for notice in reloaded.warnings] == ["a.jpg"]
    with pytest.raises(InputError, match="an index that differs in max_image_pixels; choose another --name"):
        make(data)
