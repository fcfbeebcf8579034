"""Evolution of feature maps, compared with a search over all activations at every epoch."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.analyzers.conftest import blobs
from tests.analyzers.evolve.conftest import DEAD, EPOCHS, EVOLVE, LayerActivations, MakeIndex, evolve, rows
from zfscope.analysis.contract import Context
from zfscope.analysis.run import read_params
from zfscope.store import ModelStore


def test_every_epoch_has_its_own_strongest_photo(ready: Context, photos: Path, store: ModelStore) -> None:
    maps = (7, 1, 2)
    result = evolve(ready, maps=maps)
    table = rows(result)
    assert [(row["map"], row["epoch"]) for row in table] == [(map, epoch) for map in maps for epoch in EPOCHS]
    for index, epoch in enumerate(EPOCHS):
        activations = LayerActivations(store, photos, epoch)
        for row, record in enumerate(table[index :: len(EPOCHS)]):
            value, photo, y, x = activations.strongest(record["map"])
            assert (record["layer"], record["state"]) == ("conv5", "ok")
            assert record["path"] == activations.paths[photo].relative_to(photos).as_posix()
            assert record["class"] == activations.paths[photo].parent.name
            assert (record["y"], record["x"]) == (y, x)
            assert record["value"] == pytest.approx(value, rel=1e-5)
            assert record["recomputed"] == pytest.approx(value, rel=1e-5)
            projection = activations.projection(photo, record["map"], y, x)
            np.testing.assert_allclose(
                result.tensors["projections"][row, index],
                activations.crop_field(projection, y, x),
                rtol=1e-4,
                atol=1e-5,
            )
            view = activations.prepared[photo].views[0].transpose(2, 0, 1)
            patch = result.tensors["patches"][row, index].transpose(2, 0, 1)
            np.testing.assert_array_equal(patch, activations.crop_field(view, y, x))
    assert result.tensors["patches"].dtype == np.uint8


def test_a_jump_is_a_change_of_photo_since_the_previous_epoch(ready: Context) -> None:
    result = rows(evolve(ready, count=12))
    by_map = [result[start : start + 3] for start in range(0, 36, 3)]
    jumps = []
    for records in by_map:
        assert records[0]["jumped"] is None
        for before, after in itertools.pairwise(records):
            if before["state"] == "ok":
                assert after["jumped"] == int(before["path"] != after["path"])
                jumps.append(after["jumped"])
    assert set(jumps) == {0, 1}


def test_a_map_that_is_dead_at_an_epoch_has_the_state_dead(ready: Context) -> None:
    result = evolve(ready, maps=[DEAD])
    first, second, _ = rows(result)
    assert first == {
        **dict.fromkeys(first),
        "layer": "conv5",
        "map": DEAD,
        "epoch": 1,
        "state": "dead",
    }
    assert (second["state"], second["jumped"]) == ("ok", None)
    assert not result.tensors["projections"][0, 0].any()
    assert not result.tensors["patches"][0, 0].any()
    assert rows(result, "settling")[0] == {
        "layer": "conv5",
        "epoch": 1,
        "maps": 0,
        "median": None,
        "lower": None,
        "upper": None,
    }


def test_by_default_the_finally_strongest_maps_are_shown_at_every_indexed_epoch(
    unindexed: Context, make_index: MakeIndex, photos: Path, store: ModelStore
) -> None:
    make_index(None)
    make_index(2)
    result = rows(evolve(unindexed, first=1, count=2))
    end = LayerActivations(store, photos, None)
    ranked = sorted(range(12), key=lambda number: -end.strongest(number)[0])
    assert [(row["map"], row["epoch"]) for row in result] == [
        (number, epoch) for number in ranked[1:3] for epoch in (2, None)
    ]


def test_requested_epochs_are_sorted(ready: Context) -> None:
    assert [row["epoch"] for row in rows(evolve(ready, count=1, epochs=[2, 1]))] == [1, 2, None]
    assert [row["epoch"] for row in rows(evolve(ready, count=1, epochs=[1]))] == [1, None]


def test_a_missing_or_changed_photo_is_reported(ready: Context, photos: Path) -> None:
    before = rows(evolve(ready, maps=[7]))
    lost = before[-1]["path"]
    (photos / lost).unlink()
    result = evolve(ready, maps=[7])
    assert [row["state"] == "gone" for row in rows(result)] == [row["path"] == lost for row in before]
    assert rows(result)[-1]["correlation"] is None
    assert not result.tensors["projections"][0, -1].any()
    Image.fromarray(blobs(99)).save(photos / lost)
    assert rows(evolve(ready, maps=[7]))[-1]["state"] == "changed"


def test_the_picture_states_the_scale_of_each_map_and_epoch(ready: Context) -> None:
    (picture,) = evolve(ready, maps=[DEAD, 7]).pictures
    assert picture.name == "evolution"
    assert "each projection on its own scale: symmetric linear; 128 grey = 0" in picture.scale
    assert f"map {DEAD}: none, " in picture.scale
    assert picture.scale.count("map ") == 2


def test_the_cost_grows_with_epochs_and_maps(ready: Context) -> None:
    def cost(**params: Any) -> int:
        return EVOLVE.cost(ready.model, read_params(EVOLVE, params))

    assert cost() == 2 * cost(settling=False) == 4 * 6 * 3
    assert cost(maps=[1, 2], epochs=[1]) == 4 * 2 * 2
