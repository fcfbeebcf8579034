"""A gallery, read as a browser would, and held against the engine and the index."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from filelock import FileLock
from PIL import Image

from tests.gallery.conftest import CLASS, DEAD, LABEL, LAYERS, PHOTO, Analyze, Page
from zfscope.engine import Unit, project, receptive_fields, trace
from zfscope.errors import InputError, NotFound
from zfscope.gallery import Gallery, GalleryPlan, build_gallery, make_plan
from zfscope.gallery import plan as plan_module
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.images.render import signed_to_rgb
from zfscope.scan import indexes_folder, open_index
from zfscope.store import Model

Read = Callable[[Path], Page]


def contents(root: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_link_leads_to_a_file_of_the_gallery(whole: tuple[Path, Gallery], page: Read) -> None:
    root, _ = whole
    reached = set()
    for path in root.rglob("*.html"):
        for element, address in page(path).links():
            if address == "data:,":
                continue
            file, _, fragment = address.partition("#")
            assert ":" not in file, f"{path}: {address} leads out"
            target = (path.parent / file).resolve()
            assert target.is_relative_to(root), f"{path}: {address} leads out"
            assert target.is_file(), f"{path}: {element.tag} {address}"
            reached.add(target)
            if fragment:
                assert fragment in [each.attributes.get("id") for each in page(target).elements]
    own = {path for path in root.rglob("*") if path.is_file()}
    assert own - reached == {root / "gallery.json"}


def test_every_picture_says_in_words_what_it_is(whole: tuple[Path, Gallery], page: Read) -> None:
    pictures = [each for path in whole[0].rglob("*.html") for each in page(path).all("img")]
    assert pictures
    assert all(picture.attributes["alt"] for picture in pictures)


def test_every_map_has_a_page_and_a_tile(whole: tuple[Path, Gallery], page: Read) -> None:
    root, gallery = whole
    counts = {"conv1": 6, "relu2": 8, "fc3": 2}
    assert {name: layer.maps for name, layer in gallery.layers.items()} == counts
    for layer, maps in counts.items():
        tiles = page(root / layer / "index.html").all("a", "tile")
        assert [tile.attributes["id"] for tile in tiles] == [str(map) for map in range(maps)]
        assert {path.name for path in (root / layer).glob("*.html")} == {
            "index.html",
            *(f"{map}.html" for map in range(maps)),
        }


def test_pages_say_what_the_gallery_is_of(whole: tuple[Path, Gallery], page: Read) -> None:
    root, gallery = whole
    words = " ".join(page(root / "index.html").all("main")[0].text.split())
    for told in ("tiny version 1", "61.5 % top-1", "1,234 photos: some photos", gallery.index_sha256[:12]):
        assert told in words
    assert "Random <weights>" in words
    assert "6 maps. Receptive field of a unit: 5 × 5 of 32 × 32 pixels." in words
    assert "8 maps, 1 of them dead." in words
    assert all("Grey is zero" in page(path).all("footer")[0].text for path in root.rglob("*.html"))
    assert json.loads((root / "gallery.json").read_text()) == gallery.model_dump(mode="json")


def test_a_dead_map_is_marked_and_has_no_picture(whole: tuple[Path, Gallery], page: Read) -> None:
    root, gallery = whole
    assert gallery.layers["relu2"].dead == 1
    tiles = page(root / "relu2" / "index.html").all("a", "tile")
    assert [tile.attributes["id"] for tile in tiles if "dead" in tile.classes] == [str(DEAD)]
    assert "dead" in tiles[DEAD].text
    own = page(root / "relu2" / f"{DEAD}.html")
    assert "None of 12 photos activates this map." in own.all("main")[0].text
    assert not own.all("table")
    assert not list((root / "relu2").glob(f"{DEAD}-p*"))


def test_names_of_photos_and_classes_are_text_whatever_they_are(
    whole: tuple[Path, Gallery], page: Read
) -> None:
    root, _ = whole
    texts = ""
    for path in root.rglob("*.html"):
        own = page(path)
        assert [each.attributes["src"].endswith("gallery.js") for each in own.all("script")] == [True]
        assert not [name for each in own.elements for name in each.attributes if name.startswith("on")]
        texts += own.all("main")[0].text
    assert f"{CLASS}/{PHOTO}" in texts
    assert LABEL in page(root / "fc3" / "0.html").all("h1")[0].text
    assert CLASS in page(root / "relu2" / "index.html").all("select")[0].text


def test_a_map_shows_what_its_strongest_units_saw(
    whole: tuple[Path, Gallery], model: Model, photos: Path, page: Read
) -> None:
    root, _ = whole
    field = receptive_fields(model.network.spec)["relu2"]
    for rank, record in enumerate(open_index(model, "them").records("relu2", 1)):
        prepared = prepare(decode((photos / record.path).read_bytes()), model.preprocessing)
        traced = trace(model.network, torch.from_numpy(prepared.pixels), until="relu2")
        seen = project(model.network, traced, "relu2", [Unit(0, 1, record.y, record.x)])[0].numpy()
        x0, y0, _, _ = (int(edge) for edge in field.box(record.y, record.x))
        around = np.zeros((3, 96, 96), np.float32)
        around[:, 32:64, 32:64] = seen
        frame = around[:, 32 + y0 : 32 + y0 + field.size, 32 + x0 : 32 + x0 + field.size]
        photo = np.full((96, 96, 3), 128, np.uint8)
        photo[32:64, 32:64] = prepared.views[0]
        patch = photo[32 + y0 : 32 + y0 + field.size, 32 + x0 : 32 + x0 + field.size]
        down, right = (field.size * place for place in divmod(rank, 3))
        cell = np.s_[down : down + field.size, right : right + field.size]
        np.testing.assert_allclose(
            picture(root / "relu2" / "1-projections.png")[cell], signed_to_rgb(frame), atol=1
        )
        np.testing.assert_array_equal(picture(root / "relu2" / "1-patches.png")[cell], patch)
    rows = page(root / "relu2" / "1.html").all("tr")[1:]
    told = [(f"{record.value:.3g}", record.path) for record in open_index(model, "them").records("relu2", 1)]
    assert all(value in row.text and path in row.text for (value, path), row in zip(told, rows, strict=True))


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_layers_of_maps_are_followed_through_the_epochs(
    whole: tuple[Path, Gallery], model: Model, page: Read
) -> None:
    root, gallery = whole
    assert gallery.epochs == (1, 2)
    (heads, *_) = page(root / "relu2" / "1.html").all("ol", "heads")
    assert [word in heads.text for word in ("epoch 1", "epoch 2", "epoch 9 (end)")] == [True] * 3
    size = receptive_fields(model.network.spec)["relu2"].size
    assert picture(root / "relu2" / "1-evolution.png").shape == (2 * size, 3 * size, 3)
    dead_then = page(root / "relu2" / "5.html").all("div", "epochs")[0]
    assert "dead" in dead_then.text
    assert not page(root / "fc3" / "0.html").all("section", "evolution")


def test_jumps_are_those_of_the_indexes(whole: tuple[Path, Gallery], model: Model, page: Read) -> None:
    root, _ = whole
    folder = indexes_folder(model)
    for map in (0, 1, 2, 4):
        strongest = []
        for name in ("them-epoch-001", "them-epoch-002", "them"):
            rows = pq.read_table(folder / name / "records.parquet").to_pylist()
            (row,) = (row for row in rows if (row["layer"], row["map"], row["rank"]) == ("relu2", map, 0))
            strongest.append(row["image"])
        heads = page(root / "relu2" / f"{map}.html").all("ol", "heads")[0].text
        jumps = sum(one != other for one, other in pairwise(strongest))
        assert heads.count("jump") == jumps


def test_what_is_lost_is_marked_until_it_is_back(
    plan: GalleryPlan, photos: Path, analyze: Analyze, page: Read, tmp_path: Path
) -> None:
    lost, changed = photos / CLASS / PHOTO, photos / "01.png"
    before = {path: path.read_bytes() for path in (lost, changed)}
    try:
        lost.unlink()
        Image.new("RGB", (60, 48), (200, 10, 10)).save(changed)
        gallery = build_gallery(plan, analyze, tmp_path / "out")
    finally:
        for path, data in before.items():
            path.write_bytes(data)
    every = [page(path) for path in (tmp_path / "out").rglob("[0-9]*.html")]
    for path, state in ((f"{CLASS}/{PHOTO}", "gone"), ("01.png", "changed")):
        own_rows = [row for each in every for row in each.all("tr") if row.text.endswith(path)]
        assert own_rows
        assert all(state in row.text for row in own_rows)
    marked = page(tmp_path / "out" / "relu2" / "index.html").all("a", "marked")
    assert len(marked) == gallery.layers["relu2"].marked > 0
    again = build_gallery(plan, analyze, tmp_path / "out")
    assert {layer.marked for layer in again.layers.values()} == {0}


def test_the_same_is_made_again_to_the_byte(
    whole: tuple[Path, Gallery], plan: GalleryPlan, analyze: Analyze, tmp_path: Path
) -> None:
    build_gallery(plan, analyze, tmp_path)
    assert contents(tmp_path) == contents(whole[0])


def test_what_was_stopped_goes_on_where_it_was(
    whole: tuple[Path, Gallery],
    plan: GalleryPlan,
    analyze: Analyze,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_module, "MOST_EVOLVED_MAPS", 3)
    asked: list[tuple[str, tuple[int, ...]]] = []

    def stopping(name: str, parameters: Mapping[str, Any], told: Callable[[float], None]) -> Any:
        if parameters["layer"] == "fc3":
            raise RuntimeError("the plug was pulled")
        return analyze(name, parameters, told)

    def going_on(name: str, parameters: Mapping[str, Any], told: Callable[[float], None]) -> Any:
        asked.append((parameters["layer"], tuple(parameters["maps"])))
        return analyze(name, parameters, told)

    with pytest.raises(RuntimeError, match="the plug was pulled"):
        build_gallery(plan, stopping, tmp_path)
    kept = {path.stem for path in (tmp_path / ".unfinished").glob("*-*.json")}
    assert kept
    assert not (tmp_path / "index.html").exists()
    told: list[tuple[float, int]] = []
    build_gallery(plan, going_on, tmp_path, progress=lambda done, total: told.append((done, total)))
    batches = {f"{batch.layer.name}-{batch.number}": (batch.layer.name, batch.maps) for batch in plan.batches}
    assert set(asked) == {batch for name, batch in batches.items() if name not in kept}
    assert told[-1] == (16, 16)
    assert told[0][0] == sum(len(maps) for name, (_, maps) in batches.items() if name in kept)
    assert contents(tmp_path) == contents(whole[0])


def test_a_gallery_of_something_else_takes_its_place(
    plan: GalleryPlan, model: Model, analyze: Analyze, tmp_path: Path
) -> None:
    build_gallery(plan, analyze, tmp_path)
    (tmp_path / "relu2" / "notes.txt").write_text("my own")
    fewer = make_plan(model, plan.index, layers=["relu2"], count=2, top=4, evolution=False)
    build_gallery(fewer, analyze, tmp_path, title="Two & two")
    maps = fewer.layers[0].maps
    assert set(contents(tmp_path)) == {
        *("index.html", "gallery.css", "gallery.js", "gallery.json"),
        *("relu2/index.html", "relu2/notes.txt"),
        *(f"relu2/{map}.html" for map in maps),
        *(f"relu2/{map}-{kind}.png" for map in maps for kind in ("projections", "patches")),
    }
    assert "<h1>Two &amp; two</h1>" in (tmp_path / "index.html").read_text()


def test_a_folder_with_other_contents_is_not_touched(
    plan: GalleryPlan, analyze: Analyze, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("my own page")
    with pytest.raises(InputError, match="has other contents than a gallery; choose a new or empty folder"):
        build_gallery(plan, analyze, tmp_path)
    assert contents(tmp_path) == {"index.html": b"my own page"}
    with pytest.raises(InputError, match="is not a directory"):
        build_gallery(plan, analyze, tmp_path / "index.html")


def test_two_processes_do_not_make_one_gallery(plan: GalleryPlan, analyze: Analyze, tmp_path: Path) -> None:
    lock = tmp_path / ".unfinished" / "lock"
    lock.parent.mkdir()
    with FileLock(lock), pytest.raises(InputError, match="is being written by another process"):
        build_gallery(plan, analyze, tmp_path)
    assert contents(tmp_path) == {".unfinished/lock": b""}


def test_the_strongest_maps_are_taken(model: Model, plan: GalleryPlan) -> None:
    few = make_plan(model, plan.index, count=2)
    for layer in few.layers:
        maps = len(plan.index.alive(layer.name))
        scores = [plan.index.records(layer.name, map)[0].value for map in range(maps)]
        assert layer.maps == tuple(sorted(np.argsort(scores)[-2:].tolist()))


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (
            {"layers": ["conv9"]},
            NotFound,
            f"'conv9' is not in index 'them', which has {', '.join(LAYERS)}",
        ),
        ({"top": 10}, InputError, r"top is 10; allowed: 1 to 9 \(index 'them' has 9 photos per map\)"),
        ({"top": 0}, InputError, "top is 0"),
        ({"count": 0}, InputError, "count is 0; allowed: 1 or more"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    model: Model, plan: GalleryPlan, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        make_plan(model, plan.index, **options)


def test_another_index_of_an_epoch_is_another_gallery(plan: GalleryPlan) -> None:
    fewer = replace(plan, layers=tuple(replace(layer, epochs=()) for layer in plan.layers))
    assert len({plan.identity, fewer.identity, replace(plan, top=4).identity}) == 3
