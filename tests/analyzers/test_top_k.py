"""The analyzer `top-k`, compared with a search over all activations of every photo."""

import hashlib
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.analyzers.conftest import SPEC, blots, manifest_of
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.control import project_control, similarity
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.engine import Unit, project, receptive_fields, trace
from zfscope.errors import Cancelled, InputError, NotFound
from zfscope.images.decode import decode
from zfscope.images.preprocess import Prepared, prepare
from zfscope.networks import build
from zfscope.runtimes import create_runtime
from zfscope.scan import Index, build_index, indexes_folder, make_plan, open_data
from zfscope.store import Model, Weights
from zfscope.store.manifest import WEIGHTS
from zfscope_analyzers.top_k import inspect as module
from zfscope_analyzers.top_k.inspect import FLOOR, RELATIVE, is_reproduced

TOP_K = load_analyzers().analyzer("top-k")
LAYERS = ("conv1", "conv5", "relu5", "fc6", "fc8")
OK, DIFFERS, CHANGED, GONE, SILENT = range(5)
# Maps of relu5: one that no photo activates, and one that few photos do.
DEAD, RARE = 4, 7

MakeIndex = Callable[..., Index]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty photos in two folders."""
    for number in range(20):
        folder = tmp_path / "photos" / ("ant" if number < 12 else "bee")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blots(number, 60 - number, 40 + number)).save(folder / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A model in a temporary folder; in conv5, map DEAD is never active, and map RARE seldom is."""
    network = build(SPEC, generator=torch.Generator().manual_seed(3)).eval().requires_grad_(False)
    network.filters["conv5"].bias[DEAD] = -100
    network.filters["conv5"].bias[RARE] -= 2.15
    manifest = manifest_of("tiny", SPEC).model_copy(update={"files": {WEIGHTS: "0" * 64}})
    return Model(manifest, Weights.from_network(network), None, tmp_path / "model")


@pytest.fixture
def make_index(model: Model) -> MakeIndex:
    """Function that indexes photos with that model, in torch."""

    def make(data: Path, name: str = "photos", *, by: Model = model, **options: Any) -> Index:
        plan = make_plan(SPEC, **{"layers": LAYERS, **options})
        runtime = create_runtime("torch", by)
        target = indexes_folder(by) / name
        return build_index(by, open_data(data), plan, target, runtime=runtime)

    return make


@pytest.fixture
def ready(model: Model, photos: Path, make_index: MakeIndex) -> Context:
    """A context that requests everything, with an index of the photos."""
    make_index(photos)
    return Context(model, create_runtime("torch", model), (), tensors=True)


def analyze(context: Context, **params: Any) -> Analysis:
    return TOP_K.analyze(context, read_params(TOP_K, params))


def records(analysis: Analysis) -> list[dict[str, Any]]:
    return analysis.tables["records"].records()


@dataclass
class TracedPhoto:
    """A prepared photo and the outputs of all layers."""

    name: str
    prepared: Prepared
    images: torch.Tensor
    outputs: Mapping[str, torch.Tensor]


@pytest.fixture
def traced_photos(model: Model, photos: Path) -> list[TracedPhoto]:
    """Traces of the single photos, in order of file names."""
    result = []
    for name in open_data(photos).names:
        prepared = prepare(decode((photos / name).read_bytes()), model.preprocessing)
        images = torch.from_numpy(prepared.pixels)
        result.append(TracedPhoto(name, prepared, images, trace(model.network, images).outputs))
    return result


def by_hand(
    model: Model, layer: str, map: int, result: TracedPhoto
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return the projection and the patch of a map's strongest unit in the photo, pixel by pixel."""
    maps = result.outputs[layer][0].reshape(result.outputs[layer].shape[1], -1)
    columns = result.outputs[layer].shape[-1] if result.outputs[layer].dim() == 4 else 1
    y, x = divmod(int(maps[map].argmax()), columns)
    traced = trace(model.network, result.images, until=layer)
    pixels = project(model.network, traced, layer, [Unit(0, map, y, x)])[0].numpy()
    view = result.prepared.views[0]
    if result.outputs[layer].dim() == 2:
        return pixels, view, y, x
    field = receptive_fields(SPEC)[layer]
    left, top, _, _ = field.box(y, x)
    projection = np.zeros((3, field.size, field.size), np.float32)
    patch = np.zeros((field.size, field.size, 3), np.uint8)
    for row in range(field.size):
        for column in range(field.size):
            if 0 <= top + row < 32 and 0 <= left + column < 32:
                projection[:, row, column] = pixels[:, top + row, left + column]
                patch[row, column] = view[top + row, left + column]
    return projection, patch, y, x


@pytest.mark.parametrize("layer", ["conv1", "conv5", "fc6", "fc8"])
def test_projections_and_patches_match_a_search_over_all_activations(
    ready: Context, traced_photos: list[TracedPhoto], layer: str
) -> None:
    maps = [0, 3, 2]
    result = analyze(ready, layer=layer, maps=maps, top=4)
    rows = iter(records(result))
    for index, map in enumerate(maps):
        strengths = [float(each.outputs[layer][0, map].max()) for each in traced_photos]
        expected = sorted(range(20), key=lambda photo: -strengths[photo])[:4]
        for rank, photo in enumerate(expected):
            row = next(rows)
            projection, patch, y, x = by_hand(ready.model, layer, map, traced_photos[photo])
            assert (row["map"], row["rank"], row["path"]) == (map, rank, traced_photos[photo].name)
            assert row["class"] == traced_photos[photo].name.split("/")[0]
            assert row["value"] == pytest.approx(strengths[photo], rel=1e-4)
            assert (row["y"], row["x"]) == ((None, None) if layer.startswith("fc") else (y, x))
            if strengths[photo] <= 0:
                assert row["state"] == "silent"
                continue
            assert row["recomputed"] == pytest.approx(strengths[photo], rel=1e-4)
            assert row["state"] == "ok"
            shown = result.tensors["projections"][index, rank]
            np.testing.assert_allclose(shown, projection, atol=1e-5 * np.abs(projection).max())
            np.testing.assert_array_equal(result.tensors["patches"][index, rank], patch)
    assert next(rows, None) is None


def test_patches_are_in_photo_pixels_clipped_to_the_photo(
    ready: Context, traced_photos: list[TracedPhoto]
) -> None:
    field = receptive_fields(SPEC)["conv5"]
    names = {each.name: each.prepared for each in traced_photos}
    for row in records(analyze(ready, count=12)):
        if row["state"] != "ok":
            continue
        prepared = names[row["path"]]
        region = prepared.geometries[0].region
        left, top, right, bottom = (side * region.width / 32 for side in field.box(row["y"], row["x"]))
        height, width = prepared.photo.shape[:2]
        sides = [left + region.x0, top + region.y0, right + region.x0, bottom + region.y0]
        clipped = np.clip(sides, 0, [width, height] * 2)
        assert [row["x0"], row["y0"], row["x1"], row["y1"]] == pytest.approx(clipped.tolist())


def test_pages_show_every_map_once_strongest_first(ready: Context) -> None:
    pages = [analyze(ready, count=5, first=first, top=1) for first in (0, 5, 10)]
    shown = [row for page in pages for row in records(page)]
    assert [len(page.tables["maps"].rows) for page in pages] == [5, 5, 2]
    assert sorted(row["map"] for row in shown) == list(range(12))
    values = [row["value"] for row in shown]
    assert values == sorted(values, reverse=True)


def test_a_dead_map_is_marked_and_has_no_views(ready: Context) -> None:
    result = analyze(ready, layer="relu5", maps=[0, DEAD])
    alive, dead = result.tables["maps"].records()
    assert (alive["dead"], dead) == (0, {"map": DEAD, "alive": 0, "images": 20, "dead": 1})
    assert alive["alive"] > 0
    assert [row["state"] for row in records(result)[9:]] == ["silent"] * 9
    assert (result.tensors["states"][1] == SILENT).all()
    assert not result.tensors["projections"][1].any()
    assert not result.tensors["patches"][1].any()


def test_a_page_with_only_dead_maps_can_be_drawn(ready: Context) -> None:
    assert analyze(ready, layer="relu5", maps=[DEAD]).picture("top-k") is not None


def test_photos_that_do_not_activate_a_map_are_silent_records(ready: Context) -> None:
    result = analyze(ready, layer="relu5", maps=[RARE])
    (about,) = result.tables["maps"].records()
    assert about["alive"] == 5
    states = [row["state"] for row in records(result)]
    assert states == ["ok"] * about["alive"] + ["silent"] * (9 - about["alive"])
    assert [row["recomputed"] is None for row in records(result)] == [state == "silent" for state in states]


def test_a_changed_or_missing_photo_is_marked_and_not_shown(ready: Context, photos: Path) -> None:
    before = analyze(ready, maps=[0])
    first, second, third, *others = [row["path"] for row in records(before)]
    Image.fromarray(blots(99)).save(photos / first)
    (photos / second).unlink()
    (photos / third).write_text("no photo any more")
    after = analyze(ready, maps=[0])
    states = [row["state"] for row in records(after)]
    assert states == ["changed", "gone", "changed"] + ["ok"] * len(others)
    assert after.tensors["states"].tolist() == [[CHANGED, GONE, CHANGED] + [OK] * len(others)]
    assert not after.tensors["projections"][0, :3].any()
    assert not after.tensors["patches"][0, :3].any()
    np.testing.assert_array_equal(after.tensors["patches"][0, 3:], before.tensors["patches"][0, 3:])
    assert [records(after)[0][name] for name in ("recomputed", "x0", "ssim")] == [None] * 3


def test_an_activation_that_is_not_reproduced_is_marked(ready: Context) -> None:
    ready.model.network.filters["conv5"].bias[0] += 0.5
    result = analyze(ready, maps=[0, 1])
    states = [row["state"] for row in records(result)]
    assert states == ["differs"] * 9 + ["ok"] * 9
    assert result.tensors["states"][0].tolist() == [DIFFERS] * 9
    for row in records(result)[:9]:
        assert row["recomputed"] == pytest.approx(row["value"] + 0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("recomputed", "peak", "same"),
    [
        (2 + 0.9 * 2 * RELATIVE, 0, True),
        (2 - 1.1 * 2 * RELATIVE, 0, False),
        (2 + 2 * RELATIVE + 0.9 * 50 * FLOOR, 50, True),
        (2 + 2 * RELATIVE + 1.1 * 50 * FLOOR, 50, False),
    ],
)
def test_an_activation_may_differ_by_rounding(recomputed: float, peak: float, same: bool) -> None:
    assert is_reproduced(2, recomputed, peak) is same


@pytest.mark.parametrize(
    ("spoil", "colour"),
    [
        (lambda path: path.unlink(), (150, 50, 150)),
        (lambda path: path.write_text("other"), (190, 40, 20)),
    ],
)
def test_marked_records_are_framed_in_the_picture_and_explained(
    ready: Context, photos: Path, spoil: Callable[[Path], Any], colour: tuple[int, int, int]
) -> None:
    spoil(photos / records(analyze(ready, maps=[0]))[4]["path"])
    picture = analyze(ready, maps=[0]).picture("top-k")
    assert picture is not None
    pixels = decode(picture.png)
    assert ((pixels == colour).all(axis=2)).sum() > 4 * 3 * 70


def test_the_picture_states_the_scale_of_each_projection(ready: Context) -> None:
    picture = analyze(ready, maps=[2, 0], top=3).picture("top-k")
    assert picture is not None
    assert "128 grey = 0" in picture.scale
    _, *maps = picture.scale.split(". ")
    assert [text.split(":")[0] for text in maps] == ["map 2", "map 0"]
    assert [len(text.split(", ")) for text in maps] == [3, 3]


@pytest.mark.parametrize("top", [1, 2, 3, 4, 5, 9])
def test_any_number_of_photos_and_maps_can_be_drawn(ready: Context, top: int) -> None:
    for count in (1, 4, 12):
        assert analyze(ready, top=top, count=count, control=top == 4).picture("top-k") is not None


@pytest.mark.parametrize("layer", ["conv5", "fc6"])
def test_the_control_is_that_of_each_photo_alone(
    ready: Context, traced_photos: list[TracedPhoto], layer: str
) -> None:
    result = analyze(ready, layer=layer, maps=[5], top=3, control=True, control_down_to="conv5")
    field = receptive_fields(SPEC)[layer]
    names = {each.name: each for each in traced_photos}
    for row, projection, control in zip(
        records(result), result.tensors["projections"][0], result.tensors["controls"][0], strict=True
    ):
        images = names[row["path"]].images
        unit = Unit(0, 5, row["y"] or 0, row["x"] or 0)
        options: Any = {"rule": "deconvnet", "normalisation": "skip", "down_to": "conv5"}
        expected = project_control(ready.model.network, images, layer, [unit], **options)[0].numpy()
        frame = (0, 0, 32, 32) if layer == "fc6" else field.box(unit.y, unit.x)
        left, top, right, bottom = frame
        inside = expected[:, max(0, top) : bottom, max(0, left) : right]
        within = (
            slice(None),
            *(
                slice(max(0, -at), max(0, -at) + size)
                for at, size in ((top, inside.shape[1]), (left, inside.shape[2]))
            ),
        )
        np.testing.assert_allclose(control[within], inside, atol=1e-5)
        assert np.count_nonzero(control) == np.count_nonzero(inside)
        score = similarity(projection[within], control[within])
        assert row["ssim"] == pytest.approx(score.ssim, abs=1e-4)
        assert row["rank_correlation"] == pytest.approx(score.rank_correlation, abs=1e-4)


def test_without_a_control_no_controls_are_returned(ready: Context) -> None:
    result = analyze(ready, maps=[0])
    assert set(result.tensors) == {"projections", "patches", "states"}
    assert {(row["ssim"], row["rank_correlation"]) for row in records(result)} == {(None, None)}


def test_a_photo_of_several_records_is_traced_once(ready: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[int] = []

    def counting(network: Any, images: torch.Tensor, **options: Any) -> Any:
        traced.append(len(images))
        return trace(network, images, **options)

    monkeypatch.setattr(module, "trace", counting)
    rows = records(analyze(ready, count=12))
    assert sum(traced) == len({row["path"] for row in rows if row["state"] == "ok"})
    assert max(traced) > 1


def test_photos_in_a_tar_archive_are_read_in_place(
    ready: Context, photos: Path, make_index: MakeIndex, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        tar.add(photos, "photos")
    make_index(tmp_path / "photos.tar", "packed")
    loose, packed = (analyze(ready, index=name, count=12) for name in ("photos", "packed"))
    assert [row["state"] for row in records(packed)] == [row["state"] for row in records(loose)]
    for name, tensor in loose.tensors.items():
        np.testing.assert_allclose(packed.tensors[name], tensor, atol=1e-5, err_msg=name)
    (tmp_path / "photos.tar").write_bytes(b"no tar any more")
    assert {row["state"] for row in records(analyze(ready, index="packed", maps=[0]))} == {"gone"}
    (tmp_path / "photos.tar").unlink()
    assert {row["state"] for row in records(analyze(ready, index="packed", maps=[0]))} == {"gone"}


def test_warnings_about_photos_name_their_paths(ready: Context, photos: Path, make_index: MakeIndex) -> None:
    pages = [Image.fromarray(blots(number, 60, 40)) for number in range(40, 43)]
    pages[0].save(photos / "ant" / "pages.tiff", save_all=True, append_images=pages[1:])
    make_index(photos, "with-pages")
    (result,) = analyze(ready, index="with-pages", count=12, top=9).warnings
    assert (result.code, result.field) == ("first-frame", "ant/pages.tiff")
    assert analyze(ready, index="photos", count=12).warnings == ()


def test_a_named_pipe_in_place_of_a_photo_does_not_block(ready: Context, photos: Path) -> None:
    path = photos / records(analyze(ready, maps=[0]))[0]["path"]
    path.unlink()
    os.mkfifo(path)
    assert records(analyze(ready, maps=[0]))[0]["state"] == "gone"


def test_a_photo_that_can_no_longer_be_decoded_counts_as_gone(
    ready: Context, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise InputError("a format that is not read any more")

    monkeypatch.setattr("zfscope.scan.reload.decode_photo", fail)
    assert {row["state"] for row in records(analyze(ready, maps=[0]))} == {"gone"}


def test_progress_shows_the_maps_that_are_complete(ready: Context) -> None:
    reports: list[float] = []
    shown: list[int] = []

    def progress(share: float, partial: Callable[[], Analysis] | None) -> None:
        reports.append(share)
        if partial is not None:
            (picture,) = partial().pictures
            shown.append(picture.scale.count("map "))

    analyze(replace(ready, progress=progress), count=12)
    assert reports == sorted(reports)
    assert reports[-1] == 1
    assert shown == sorted(shown)
    assert shown[-1] == 12


def test_cancellation_is_checked_before_each_photo_and_each_projection(ready: Context) -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1

    rows = records(analyze(replace(ready, check_cancelled=check), count=12))
    assert asked > len({row["path"] for row in rows})

    def gone() -> None:
        raise Cancelled("the client cancelled the call or disconnected")

    with pytest.raises(Cancelled):
        analyze(replace(ready, check_cancelled=gone))


def test_the_cost_is_a_trace_and_a_projection_per_record(ready: Context) -> None:
    def cost(**params: Any) -> int:
        return TOP_K.cost(ready.model, TOP_K.params(**params))

    assert cost() == 2 * 81
    assert cost(maps=(1, 2), top=3) == 2 * 6
    assert cost(count=4, top=2, control=True) == 4 * 8


@pytest.mark.parametrize(
    ("params", "error", "field", "message"),
    [
        (
            {"index": "nothing"},
            NotFound,
            "index",
            "index 'nothing' of model 'tiny' version 1 not found .* zfscope index",
        ),
        ({"layer": "conv9"}, NotFound, "layer", "layer 'conv9' not found; available: conv1, relu1"),
        (
            {"layer": "norm1"},
            NotFound,
            "layer",
            "not in index 'photos', which has conv1, conv5, relu5, fc6, fc8",
        ),
        ({"maps": [0, 12]}, NotFound, r"maps[1]", "no map 12 in layer 'conv5'; maps run from 0 to 11"),
        ({"maps": [3, 3]}, InputError, "maps", "'3' is named more than once"),
        ({"maps": [-1]}, InputError, "maps[0]", "greater than or equal to 0"),
        ({"maps": list(range(65))}, InputError, "maps", "at most 64 items"),
        ({"count": 0}, InputError, "count", "greater than or equal to 1"),
        ({"count": 65}, InputError, "count", "less than or equal to 64"),
        ({"maps": [1], "count": 9}, InputError, "count", "maps are set too; set only one of them"),
        ({"maps": [1], "first": 1}, InputError, "first", "maps are set too; set only one of them"),
        ({"first": 12}, InputError, "first", r"first is 12; allowed: 0 to 11 \(layer 'conv5' has 12 maps\)"),
        ({"first": -1}, InputError, "first", "greater than or equal to 0"),
        ({"top": 0}, InputError, "top", "greater than or equal to 1"),
        ({"top": 10}, InputError, "top", "less than or equal to 9"),
        ({"control_down_to": "fc6"}, InputError, "control_down_to", "comes after 'conv5'"),
        ({"data": "/etc"}, InputError, "data", "data is not known; allowed are index, "),
    ],
)
def test_errors_name_what_is_available(
    ready: Context, params: dict[str, Any], error: type[Exception], field: str, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        analyze(ready, **params)
    assert caught.value.field == field  # type: ignore[attr-defined]


def test_a_top_beyond_the_index_is_rejected_only_if_it_is_explicit(
    ready: Context, photos: Path, make_index: MakeIndex
) -> None:
    make_index(photos, "few", top=2)
    assert analyze(ready, index="few").tensors["states"].shape == (9, 2)
    with pytest.raises(InputError, match=r"top is 3; allowed: 1 to 2 \(index 'few' has 2 photos per map\)"):
        analyze(ready, index="few", top=3)


def test_with_several_indexes_one_must_be_named(ready: Context, photos: Path, make_index: MakeIndex) -> None:
    make_index(photos / "ant", "ants")
    with pytest.raises(InputError, match="has several indexes; name one of ants, photos") as caught:
        analyze(ready)
    assert caught.value.field == "index"
    assert analyze(ready, index="ants").tables["maps"].records()[0]["images"] == 12


def test_the_error_for_a_missing_index_has_the_command_that_makes_it(model: Model) -> None:
    context = Context(model, create_runtime("torch", model), ())
    with pytest.raises(
        NotFound, match="has no index; make one from your photos with: zfscope index"
    ) as caught:
        analyze(context)
    assert caught.value.field == "index"


def with_other_weights(context: Context) -> Context:
    digest = hashlib.sha256(b"other weights").hexdigest()
    manifest = context.model.manifest.model_copy(update={"files": {WEIGHTS: digest}})
    return replace(context, model=replace(context.model, manifest=manifest))


def test_the_index_of_an_earlier_epoch_is_used_only_by_its_checkpoint(
    ready: Context, photos: Path, make_index: MakeIndex
) -> None:
    early = with_other_weights(ready)
    make_index(photos / "ant", "photos-epoch-001", by=early.model)
    assert analyze(ready).tables["maps"].records()[0]["images"] == 20
    assert analyze(early).tables["maps"].records()[0]["images"] == 12


def test_an_index_of_other_weights_is_not_used(ready: Context) -> None:
    other = with_other_weights(ready)
    with pytest.raises(NotFound, match="has no index"):
        analyze(other)
    with pytest.raises(
        NotFound,
        match=r"index 'photos' was not made with the current model .*: it differs in weights",
    ) as caught:
        analyze(other, index="photos")
    assert caught.value.field == "index"


def test_maps_ranked_by_their_sum_are_paged_by_it(
    ready: Context, photos: Path, make_index: MakeIndex
) -> None:
    index = make_index(photos, "sums", rank="sum", layers=["relu5"])
    result = analyze(ready, index="sums", layer="relu5", count=12, top=1)
    scores = [index.records("relu5", row["map"])[0].score for row in records(result)]
    assert scores == sorted(scores, reverse=True)


def test_an_activation_within_rounding_of_the_layer_s_largest_is_silent(
    model: Model, photos: Path, make_index: MakeIndex
) -> None:
    """A map whose activations are only rounding is drawn as silent."""
    quiet = 3
    model.network.filters["conv5"].weight[quiet] *= 1e-9
    model.network.filters["conv5"].bias[quiet] = 0
    make_index(photos)
    context = Context(model, create_runtime("torch", model), (), tensors=True)
    result = analyze(context, layer="relu5", maps=[quiet, 0])
    states = [(row["map"], row["state"]) for row in records(result)]
    assert {state for map, state in states if map == quiet} == {"silent"}
    assert "ok" in {state for map, state in states if map == 0}
    assert not result.tensors["projections"][0].any()
