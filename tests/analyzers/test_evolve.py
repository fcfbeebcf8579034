"""Evolution of feature maps, compared with a search over all activations at every epoch."""

import io
import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.analyzers.conftest import SPEC, blots, manifest_of, write_checkpoint
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.engine import Unit, project, receptive_fields, trace
from zfscope.errors import InputError, NotFound
from zfscope.images.decode import decode
from zfscope.images.preprocess import Prepared, prepare
from zfscope.networks import build
from zfscope.runtimes import create_runtime
from zfscope.scan import build_index, indexes_folder, make_plan, open_data
from zfscope.store import Model, ModelStore, write_model
from zfscope_analyzers.evolve.evolution import CorrelationQuartiles, pearson, quartiles_by_epoch
from zfscope_analyzers.evolve.timeline import Snapshot, Timeline
from zfscope_analyzers.top_k.page import Page

EVOLVE = load_analyzers().analyzer("evolve")
# A map of conv5 that no photo activates after epoch 1.
DEAD = 4
EPOCHS = (1, 2, None)
MakeIndex = Callable[..., None]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photos in two folders."""
    for number in range(12):
        folder = tmp_path / "photos" / ("ant" if number < 7 else "bee")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blots(number, 60 - number, 40 + number)).save(folder / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A model with checkpoints of epochs 1 and 2 of 3, and one without checkpoints."""
    root = tmp_path / "store"
    files = {
        1: write_checkpoint(tmp_path / "1.safetensors", 40, dead=DEAD),
        2: write_checkpoint(tmp_path / "2.safetensors", 3, noise=0.03),
    }
    manifest = manifest_of("tiny", SPEC)
    about = manifest.provenance.model_copy(update={"epochs": 3})
    network = build(SPEC, generator=torch.Generator().manual_seed(3))
    write_model(root, manifest.model_copy(update={"provenance": about}), network, checkpoints=files)
    write_model(root, manifest_of("plain", SPEC), network)
    return ModelStore(root)


def model_at(store: ModelStore, epoch: int | None) -> Model:
    return store.load("tiny") if epoch is None else store.load_checkpoint("tiny", epoch)


@pytest.fixture
def make_index(store: ModelStore, photos: Path) -> MakeIndex:
    """Function that indexes photos with the model of an epoch."""

    def make(epoch: int | None, base: str = "val", data: Path = photos, **options: Any) -> None:
        model, plan = model_at(store, epoch), make_plan(SPEC, **{"layers": ("conv1", "conv5"), **options})
        name = base if epoch is None else f"{base}-epoch-{epoch:03d}"
        runtime = create_runtime("torch", model)
        build_index(model, open_data(data), plan, indexes_folder(model) / name, runtime=runtime)

    return make


@pytest.fixture
def unindexed(store: ModelStore) -> Context:
    model = store.load("tiny")
    return Context(model, create_runtime("torch", model), (), tensors=True, store=store)


@pytest.fixture
def ready(unindexed: Context, make_index: MakeIndex) -> Context:
    """A context in which every epoch has its index."""
    for epoch in EPOCHS:
        make_index(epoch)
    return unindexed


def evolve(context: Context, **params: Any) -> Analysis:
    return EVOLVE.analyze(context, read_params(EVOLVE, {"layer": "conv5", **params}))


def rows(analysis: Analysis, table: str = "evolution") -> list[dict[str, Any]]:
    return analysis.tables[table].records()


class LayerActivations:
    """All activations of a layer in all photos, with the weights of an epoch."""

    def __init__(self, store: ModelStore, photos: Path, epoch: int | None, layer: str = "conv5") -> None:
        self.model, self.layer = model_at(store, epoch), layer
        self.paths = sorted(photos.rglob("*.png"), key=lambda path: path.relative_to(photos).as_posix())
        self.prepared: list[Prepared] = [
            prepare(decode(path.read_bytes()), self.model.preprocessing) for path in self.paths
        ]
        pixels = np.concatenate([photo.pixels for photo in self.prepared])
        self.trace = trace(self.model.network, torch.from_numpy(pixels), until=layer)

    def strongest(self, map: int) -> tuple[float, int, int, int]:
        """Return the strongest activation of a map, with its photo, row and column."""
        outputs = self.trace.outputs[self.layer][:, map].numpy()
        photo, y, x = (int(index) for index in np.unravel_index(outputs.argmax(), outputs.shape))
        return float(outputs[photo, y, x]), photo, y, x

    def padded(self, picture: NDArray[Any], y: int, x: int) -> NDArray[Any]:
        """Crop the receptive field of a unit from a picture (channels, H, W), padded with zeros."""
        box, margin = receptive_fields(SPEC)[self.layer].box(y, x), 64
        whole = np.pad(picture, ((0, 0), (margin, margin), (margin, margin)))
        x0, y0, x1, y1 = (side + margin for side in box)
        return whole[:, y0:y1, x0:x1]

    def projection(self, photo: int, map: int, y: int, x: int) -> NDArray[np.float32]:
        (drawn,) = project(self.model.network, self.trace, self.layer, [Unit(photo, map, y, x)])
        return drawn.numpy()


def test_every_epoch_has_its_own_strongest_photo(ready: Context, photos: Path, store: ModelStore) -> None:
    maps = (7, 1, 2)
    result = evolve(ready, maps=maps)
    table = rows(result)
    assert [(row["map"], row["epoch"]) for row in table] == [(map, epoch) for map in maps for epoch in EPOCHS]
    for index, epoch in enumerate(EPOCHS):
        whole = LayerActivations(store, photos, epoch)
        for row, record in enumerate(table[index :: len(EPOCHS)]):
            value, photo, y, x = whole.strongest(record["map"])
            assert (record["layer"], record["state"]) == ("conv5", "ok")
            assert record["path"] == whole.paths[photo].relative_to(photos).as_posix()
            assert record["class"] == whole.paths[photo].parent.name
            assert (record["y"], record["x"]) == (y, x)
            assert record["value"] == pytest.approx(value, rel=1e-5)
            assert record["recomputed"] == pytest.approx(value, rel=1e-5)
            projection = whole.projection(photo, record["map"], y, x)
            np.testing.assert_allclose(
                result.tensors["projections"][row, index],
                whole.padded(projection, y, x),
                rtol=1e-4,
                atol=1e-5,
            )
            view = whole.prepared[photo].views[0].transpose(2, 0, 1)
            patch = result.tensors["patches"][row, index].transpose(2, 0, 1)
            np.testing.assert_array_equal(patch, whole.padded(view, y, x))
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


def test_correlations_compare_projections_of_the_final_photo_with_the_final_projection(
    ready: Context, photos: Path, store: ModelStore
) -> None:
    maps = (7, 1, 2, 9)
    result = evolve(ready, maps=maps)
    end = LayerActivations(store, photos, None)
    for index, epoch in enumerate(EPOCHS):
        then, expected = LayerActivations(store, photos, epoch), []
        for row, map in enumerate(maps):
            _, photo, y, x = end.strongest(map)
            box = receptive_fields(SPEC)["conv5"].box(y, x)
            x0, y0, x1, y1 = (min(max(side, 0), 32) for side in box)
            one, other = (
                each.projection(photo, map, y, x)[:, y0:y1, x0:x1].ravel().astype(np.float64)
                for each in (then, end)
            )
            got = rows(result)[row * len(EPOCHS) + index]["correlation"]
            if then.trace.outputs["conv5"][photo, map, y, x] <= 0:
                assert got is None
                continue
            one, other = one - one.mean(), other - other.mean()
            by_hand = (one @ other) / np.sqrt((one @ one) * (other @ other))
            assert got == pytest.approx(by_hand, abs=1e-5)
            expected.append(by_hand)
        row = rows(result, "settling")[index]
        assert (row["layer"], row["epoch"], row["maps"]) == ("conv5", epoch, len(expected))
        assert row["median"] == pytest.approx(np.median(expected), abs=1e-5)
        assert row["lower"] == pytest.approx(np.quantile(expected, 0.25), abs=1e-5)
        assert row["upper"] == pytest.approx(np.quantile(expected, 0.75), abs=1e-5)
    assert row["median"] == pytest.approx(1)


def test_the_correlation_matches_values_computed_by_hand() -> None:
    one = np.array([[1, 2, 3]], np.float32)
    assert pearson(one, 5 + 2 * one) == pytest.approx(1)
    assert pearson(one, -one) == pytest.approx(-1)
    assert pearson(one, np.array([[2, 1, 3]], np.float32)) == pytest.approx(0.5)
    assert pearson(one, np.zeros_like(one)) is None
    assert pearson(np.ones_like(one), one) is None
    assert pearson(one, 1 + 1e-7 * one) is None  # level, but for rounding


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

    whole, without = height(evolve(ready, maps=[7])), height(evolve(ready, maps=[7], settling=False))
    for path in photos.rglob("*.png"):
        path.unlink()
    result = evolve(ready, maps=[7])
    assert {row["median"] for row in rows(result, "settling")} == {None}
    assert without < height(result) < whole - 200


def test_by_default_the_finally_strongest_maps_are_shown_at_every_indexed_epoch(
    unindexed: Context, make_index: MakeIndex, photos: Path, store: ModelStore
) -> None:
    make_index(None)
    make_index(2)
    result = rows(evolve(unindexed, first=1, count=2))
    end = LayerActivations(store, photos, None)
    ranked = sorted(range(12), key=lambda map: -end.strongest(map)[0])
    assert [(row["map"], row["epoch"]) for row in result] == [
        (map, epoch) for map in ranked[1:3] for epoch in (2, None)
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
    Image.fromarray(blots(99)).save(photos / lost)
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


@pytest.mark.parametrize(
    ("params", "error", "field", "text"),
    [
        ({"layer": "conv9"}, NotFound, "layer", "layer 'conv9' not found; available: conv1, "),
        (
            {"layer": "fc7"},
            InputError,
            "layer",
            "layer 'fc7' has no feature maps; checkpoints hold only layers that have: conv1, relu1, ",
        ),
        (
            {"layer": "relu1"},
            NotFound,
            "layer",
            "layer 'relu1' is not in index 'val', which has conv1, conv5",
        ),
        ({"maps": [3, 12]}, NotFound, "maps[1]", "no map 12 in layer 'conv5'; maps run from 0 to 11"),
        ({"epochs": [1, 7]}, NotFound, "epochs[1]", "model 'tiny' version 1 has no checkpoint of epoch 7; "),
        ({"index": "train"}, NotFound, "index", "zfscope index DATA --model tiny --checkpoint 1"),
        ({"first": 12}, InputError, "first", "first is 12; allowed: 0 to 11 (layer 'conv5' has 12 maps)"),
    ],
)
def test_errors_name_what_is_available(
    ready: Context, params: dict[str, Any], error: type[Exception], field: str, text: str
) -> None:
    with pytest.raises(error) as caught:
        evolve(ready, **params)
    assert (caught.value.field, text in str(caught.value)) == (field, True)


@pytest.mark.parametrize("params", [{"maps": [1, 1]}, {"epochs": [2, 2]}, {"maps": [1], "first": 2}])
def test_contradictory_parameters_are_rejected(params: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"named more than once|maps are set too"):
        read_params(EVOLVE, params)


def test_the_error_for_an_epoch_without_an_index_has_the_command_that_makes_it(
    unindexed: Context, make_index: MakeIndex
) -> None:
    with pytest.raises(NotFound, match=r"zfscope index DATA --model tiny and .* --checkpoint 1"):
        evolve(unindexed)
    make_index(None)
    command = "zfscope index DATA --model tiny --checkpoint 1 --name val-epoch-001"
    with pytest.raises(NotFound, match=f"has no index 'val' of epoch 1, 2; make it with: {command}"):
        evolve(unindexed)
    make_index(1)
    with pytest.raises(NotFound, match=r"of epoch 2; make it with: .* --checkpoint 2 --name val-epoch-002"):
        evolve(unindexed, epochs=[1, 2])


def test_the_error_for_a_model_without_checkpoints_lists_models_with_some(ready: Context) -> None:
    assert ready.store is not None
    plain = replace(ready, model=ready.store.load("plain"))
    with pytest.raises(
        NotFound, match="'plain' version 1 has no checkpoints; models with checkpoints: model 'tiny'"
    ) as it:
        evolve(plain)
    assert "--checkpoints" in it.value.message
    with pytest.raises(NotFound, match="no model store to load checkpoints from"):
        evolve(replace(ready, store=None))


def test_indexes_that_cannot_be_compared_are_rejected(
    ready: Context, make_index: MakeIndex, photos: Path
) -> None:
    fewer = shutil.copytree(photos, photos.with_name("fewer"))
    next(fewer.rglob("*.png")).unlink()
    make_index(None, "mixed")
    make_index(1, "mixed", fewer)
    with pytest.raises(InputError, match="several indexes; name one of mixed, val"):
        evolve(ready)
    with pytest.raises(InputError, match="'mixed-epoch-001' and 'mixed' are of different photos"):
        evolve(ready, index="mixed")
    make_index(None, "sums", rank="sum")
    make_index(1, "sums")
    with pytest.raises(InputError, match="index 'sums' ranks photos by the sum of a map"):
        evolve(ready, index="sums")
