"""Histograms and classes of `top-k`, compared with the Parquet files and with all activations."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.analyzers.top_k.conftest import DEAD, RARE, MakeIndex, TracedPhoto, analyze
from zfscope.analysis.contract import Context
from zfscope.answers import TOP_K, Analyzed
from zfscope.answers.top_k import TopMap
from zfscope.errors import DamagedIndex
from zfscope.scan import indexes_folder
from zfscope.scan.manifest import IndexManifest

MAPS = [0, DEAD, RARE, 3]


def typed_maps(context: Context, **parameters: Any) -> tuple[TopMap, ...]:
    analysis = analyze(replace(context, pictures=False, tensors=False), **parameters)
    return TOP_K.assemble(Analyzed("tiny", 1, analysis), ()).maps


def folder_of(context: Context) -> Path:
    return indexes_folder(context.model) / "photos"


def edges_of(context: Context) -> tuple[float, ...]:
    manifest = IndexManifest.model_validate_json((folder_of(context) / "index.json").read_text())
    return manifest.histogram_edges


@pytest.mark.parametrize("layer", ["relu5", "conv5", "fc8"])
def test_histograms_count_the_maximum_of_every_photo(
    ready: Context, traced_photos: list[TracedPhoto], layer: str
) -> None:
    maps = [0, 1, 2, 3]
    for number, each in zip(maps, typed_maps(ready, layer=layer, maps=maps), strict=True):
        histogram = each.histogram
        assert histogram is not None
        maxima = np.array([float(photo.outputs[layer][0, number].max()) for photo in traced_photos])
        assert histogram.zeros == each.images - each.alive == (maxima <= 0).sum()
        active = maxima[maxima > 0]
        assert sum(histogram.counts) == len(active)
        if not len(active):
            assert histogram.edges == ()
            continue
        assert histogram.counts[0] > 0
        assert histogram.counts[-1] > 0
        assert len(histogram.edges) == len(histogram.counts) + 1
        assert histogram.edges[0] <= active.min() * (1 + 1e-4)
        assert active.max() * (1 - 1e-4) < histogram.edges[-1]
        expected, _ = np.histogram(active, histogram.edges)
        # Activations of two runtimes may lie on two sides of an edge.
        assert np.abs(expected - histogram.counts).sum() <= 2


def test_histograms_are_those_of_the_parquet_file(ready: Context) -> None:
    table, edges = pq.read_table(folder_of(ready) / "maps.parquet").to_pylist(), edges_of(ready)
    stored = {row["map"]: row["histogram"] for row in table if row["layer"] == "relu5"}
    for each in typed_maps(ready, layer="relu5", maps=MAPS):
        histogram = each.histogram
        assert histogram is not None
        assert histogram.zeros == stored[each.map][0]
        counts = dict(zip((0.0, *edges[1:]), stored[each.map][1:], strict=True))
        filled = [lower for lower, count in counts.items() if count]
        assert sum(counts.values()) == sum(histogram.counts)
        assert [counts[lower] for lower in histogram.edges[:-1]] == list(histogram.counts)
        assert not filled or (histogram.edges[0], histogram.edges[-2]) == (filled[0], filled[-1])


def test_a_dead_map_has_zeros_only(ready: Context) -> None:
    (dead,) = typed_maps(ready, layer="relu5", maps=[DEAD])
    assert dead.histogram is not None
    assert (dead.histogram.zeros, dead.histogram.edges, dead.histogram.counts) == (20, (), ())
    assert dead.classes == ()


def test_classes_are_those_of_all_records_of_the_parquet_file(ready: Context, photos: Path) -> None:
    values = defaultdict(list)
    for row in pq.read_table(folder_of(ready) / "records.parquet").to_pylist():
        if row["layer"] == "relu5" and row["value"] > 0:
            values[row["map"], row["class"]].append(row["value"])
    images = Counter(path.parent.name for path in photos.glob("*/*.png"))
    for each in typed_maps(ready, layer="relu5", maps=MAPS, top=1):
        expected = {name: numbers for (number, name), numbers in values.items() if number == each.map}
        assert {count.label for count in each.classes} == set(expected)
        assert [count.photos for count in each.classes] == sorted(map(len, expected.values()), reverse=True)
        for count in each.classes:
            assert count.photos == len(expected[count.label])
            assert count.mean == pytest.approx(np.mean(expected[count.label]))
            assert count.images == images[count.label]


def test_skipped_photos_do_not_count(photos: Path, make_index: MakeIndex, ready: Context) -> None:
    (photos / "ant" / "00.png").write_bytes(b"not a photo")
    make_index(photos, "fewer")
    (each,) = typed_maps(ready, layer="relu5", maps=[0], index="fewer")
    assert {count.label: count.images for count in each.classes} == {"ant": 11, "bee": 8}


def test_photos_without_a_class_have_an_empty_label(
    photos: Path, make_index: MakeIndex, ready: Context
) -> None:
    make_index(photos / "bee", "unlabelled")
    analysis = analyze(ready, layer="relu5", maps=[0], index="unlabelled")
    assert [row["class"] for row in analysis.tables["classes"].records()] == [None]
    (each,) = typed_maps(ready, layer="relu5", maps=[0], index="unlabelled")
    assert [(count.label, count.images) for count in each.classes] == [("", 8)]


def test_a_bin_without_a_limit_ends_at_the_largest_float32(
    photos: Path, make_index: MakeIndex, ready: Context
) -> None:
    ready.model.network.filters["conv5"].weight[0] *= 1e6
    make_index(photos, "large")
    analysis = analyze(ready, layer="relu5", maps=[0], index="large")
    assert analysis.tables["histograms"].records()[-1]["upper"] is None
    (each,) = typed_maps(ready, layer="relu5", maps=[0], index="large")
    assert each.histogram is not None
    assert each.histogram.edges[-2:] == (4096.0, float(np.finfo(np.float32).max))


def test_an_index_without_a_list_of_photos_has_no_totals_of_classes(ready: Context) -> None:
    manifest = folder_of(ready) / "index.json"
    described = IndexManifest.model_validate_json(manifest.read_text())
    files = {name: digest for name, digest in described.files.items() if name != "photos.parquet"}
    manifest.write_text(described.model_copy(update={"files": files}).model_dump_json())
    (each,) = typed_maps(ready, layer="relu5", maps=[0])
    assert {count.images for count in each.classes} == {None}


def test_a_damaged_list_of_photos_is_reported(ready: Context) -> None:
    (folder_of(ready) / "photos.parquet").write_bytes(b"damaged")
    with pytest.raises(DamagedIndex, match=r"'photos.parquet' does not match the manifest"):
        analyze(ready)
