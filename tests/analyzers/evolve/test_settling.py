"""How fast feature maps settle: correlations with the final projections."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.analyzers.conftest import SPEC
from tests.analyzers.evolve.conftest import EPOCHS, LayerActivations, MakeIndex, evolve, rows
from zfscope.analysis.contract import Analysis, Context
from zfscope.engine import receptive_fields
from zfscope.store import ModelStore
from zfscope_analyzers.evolve.evolution import CorrelationQuartiles, pearson, quartiles_by_epoch
from zfscope_analyzers.evolve.timeline import Snapshot, Timeline
from zfscope_analyzers.top_k.page import Page


def test_correlations_compare_projections_of_the_final_photo_with_the_final_projection(
    ready: Context, photos: Path, store: ModelStore
) -> None:
    maps = (7, 1, 2, 9)
    result = evolve(ready, maps=maps)
    end = LayerActivations(store, photos, None)
    for index, epoch in enumerate(EPOCHS):
        current, expected = LayerActivations(store, photos, epoch), []
        for row, number in enumerate(maps):
            _, photo, y, x = end.strongest(number)
            box = receptive_fields(SPEC)["conv5"].box(y, x)
            x0, y0, x1, y1 = (min(max(side, 0), 32) for side in box)
            first, second = (
                each.projection(photo, number, y, x)[:, y0:y1, x0:x1].ravel().astype(np.float64)
                for each in (current, end)
            )
            correlation = rows(result)[row * len(EPOCHS) + index]["correlation"]
            if current.trace.outputs["conv5"][photo, number, y, x] <= 0:
                assert correlation is None
                continue
            first, second = first - first.mean(), second - second.mean()
            pearson_r = (first @ second) / np.sqrt((first @ first) * (second @ second))
            assert correlation == pytest.approx(pearson_r, abs=1e-5)
            expected.append(pearson_r)
        row = rows(result, "settling")[index]
        assert (row["layer"], row["epoch"], row["maps"]) == ("conv5", epoch, len(expected))
        assert row["median"] == pytest.approx(np.median(expected), abs=1e-5)
        assert row["lower"] == pytest.approx(np.quantile(expected, 0.25), abs=1e-5)
        assert row["upper"] == pytest.approx(np.quantile(expected, 0.75), abs=1e-5)
    assert row["median"] == pytest.approx(1)


def test_the_correlation_matches_values_computed_by_hand() -> None:
    values = np.array([[1, 2, 3]], np.float32)
    assert pearson(values, 5 + 2 * values) == pytest.approx(1)
    assert pearson(values, -values) == pytest.approx(-1)
    assert pearson(values, np.array([[2, 1, 3]], np.float32)) == pytest.approx(0.5)
    assert pearson(values, np.zeros_like(values)) is None
    assert pearson(np.ones_like(values), values) is None
    assert pearson(values, 1 + 1e-7 * values) is None  # constant within rounding


def test_quartiles_ignore_maps_without_a_correlation(unindexed: Context, make_index: MakeIndex) -> None:
    make_index(None)
    index = evolve_page(unindexed)
    timeline = Timeline((Snapshot(1, unindexed.model, index), Snapshot(None, unindexed.model, index)))
    result = quartiles_by_epoch(timeline, {(0, 0): 0.1, (1, 0): None, (2, 0): 0.5, (3, 0): 0.3, (4, 0): 0.2})
    assert result[0].maps == 4
    assert (result[0].lower, result[0].median, result[0].upper) == pytest.approx((0.175, 0.25, 0.35))
    assert result[1] == CorrelationQuartiles(None, None, None, None, 0)


def evolve_page(context: Context) -> Page:
    from zfscope.scan import open_index

    return Page(open_index(context.model, "val"), "conv5", tuple(range(5)), (), (1,) * 5)


def test_without_settling_there_is_no_curve(ready: Context) -> None:
    result = evolve(ready, settling=False)
    assert set(result.tables) == {"evolution"}
    assert {row["correlation"] for row in rows(result)} == {None}
    assert result.pictures[0].png != evolve(ready).pictures[0].png


def test_without_correlations_a_sentence_replaces_the_curve(ready: Context, photos: Path) -> None:
    def height(result: Analysis) -> int:
        return Image.open(io.BytesIO(result.pictures[0].png)).height

    with_curve, without = height(evolve(ready, maps=[7])), height(evolve(ready, maps=[7], settling=False))
    for path in photos.rglob("*.png"):
        path.unlink()
    result = evolve(ready, maps=[7])
    assert {row["median"] for row in rows(result, "settling")} == {None}
    assert without < height(result) < with_curve - 200
