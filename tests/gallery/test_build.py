"""A gallery, parsed like in a browser and compared with the engine and the index."""

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
from zfscope.gallery import Gallery, GalleryPlan, build_gallery, plan_gallery
from zfscope.gallery import plan as plan_module
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.images.render import signed_to_rgb
from zfscope.scan import indexes_folder, open_index
from zfscope.store import Model

Read = Callable[[Path], Page]


def contents(root: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_link_leads_to_a_file_in_the_gallery(whole: tuple[Path, Gallery], page: Read) -> None:
    root, _ = whole
    linked = set()
    for path in root.rglob("*.html"):
        for element, address in page(path).links():
            if address == "data:,":
                continue
            file, _, fragment = address.partition("#")
            assert ":" not in file, f"{path}: {address} leads out"
            target = (path.parent / file).resolve()
            assert target.is_relative_to(root), f"{path}: {address} leads out"
            assert target.is_file(), f"{path}: {element.tag} {address}"
            linked.add(target)
            if fragment:
                assert fragment in [
                    target_element.attributes.get("id") for target_element in page(target).elements
                ]
    files = {path for path in root.rglob("*") if path.is_file()}
    assert files - linked == {root / "gallery.json"}


def test_every_picture_has_an_alternative_text(whole: tuple[Path, Gallery], page: Read) -> None:
    pictures = [image for path in whole[0].rglob("*.html") for image in page(path).all("img")]
    assert pictures
    assert all(picture.attributes["alt"] for picture in pictures)


def test_every_map_has_a_page_and_a_tile(whole: tuple[Path, Gallery], page: Read) -> None:
    root, gallery = whole
    counts = {"conv1": 6, "relu2": 8, "fc3": 2}
    assert {name: layer.maps for name, layer in gallery.layers.items()} == counts
    for layer, maps in counts.items():
        tiles = page(root / layer / "index.html").all("a", "tile")
        assert [tile.attributes["id"] for tile in tiles] == [str(number) for number in range(maps)]
        assert {path.name for path in (root / layer).glob("*.html")} == {
            "index.html",
            *(f"{number}.html" for number in range(maps)),
        }


def test_pages_describe_the_model_and_the_index(whole: tuple[Path, Gallery], page: Read) -> None:
    root, gallery = whole
    text = " ".join(page(root / "index.html").all("main")[0].text.split())
    for expected in (
        "tiny version 1",
        "61.5 % top-1",
        "1,234 photos: some photos",
        gallery.index_sha256[:12],
    ):
        assert expected in text
    assert "Random <weights>" in text
    assert "6 maps. Receptive field of a unit: 5 × 5 of 32 × 32 pixels." in text
    assert "8 maps, 1 of them dead." in text
    assert all("Grey is zero" in page(path).all("footer")[0].text for path in root.rglob("*.html"))
    assert json.loads((root / "gallery.json").read_text()) == gallery.model_dump(mode="json")


def test_a_dead_map_is_marked_and_has_no_picture(whole: tuple[Path, Gallery], page: Read) -> None:
    root, gallery = whole
    assert gallery.layers["relu2"].dead == 1
    tiles = page(root / "relu2" / "index.html").all("a", "tile")
    assert [tile.attributes["id"] for tile in tiles if "dead" in tile.classes] == [str(DEAD)]
    assert "dead" in tiles[DEAD].text
    dead_page = page(root / "relu2" / f"{DEAD}.html")
    assert "None of 12 photos activates this map." in dead_page.all("main")[0].text
    assert not dead_page.all("table")
    assert not list((root / "relu2").glob(f"{DEAD}-p*"))


def test_names_of_photos_and_classes_are_escaped(whole: tuple[Path, Gallery], page: Read) -> None:
    root, _ = whole
    texts = ""
    for path in root.rglob("*.html"):
        parsed = page(path)
        scripts = [script.attributes["src"].rpartition("/")[2] for script in parsed.all("script")]
        assert scripts == ["tiles.js", "gallery.js"]
        assert not [
            name for element in parsed.elements for name in element.attributes if name.startswith("on")
        ]
        texts += parsed.all("main")[0].text
    assert f"{CLASS}/{PHOTO}" in texts
    assert LABEL in page(root / "fc3" / "0.html").all("h1")[0].text
    assert CLASS in page(root / "relu2" / "index.html").all("select")[0].text


def test_a_map_shows_the_projections_and_patches_of_its_strongest_units(
    whole: tuple[Path, Gallery], model: Model, photos: Path, page: Read
) -> None:
    root, _ = whole
    field = receptive_fields(model.network.spec)["relu2"]
    for rank, record in enumerate(open_index(model, "them").records("relu2", 1)):
        prepared = prepare(decode((photos / record.path).read_bytes()), model.preprocessing)
        traced = trace(model.network, torch.from_numpy(prepared.pixels), until="relu2")
        projection = project(model.network, traced, "relu2", [Unit(0, 1, record.y, record.x)])[0].numpy()
        x0, y0, _, _ = (int(edge) for edge in field.box(record.y, record.x))
        padded = np.zeros((3, 96, 96), np.float32)
        padded[:, 32:64, 32:64] = projection
        frame = padded[:, 32 + y0 : 32 + y0 + field.size, 32 + x0 : 32 + x0 + field.size]
        photo = np.full((96, 96, 3), 128, np.uint8)
        photo[32:64, 32:64] = prepared.views[0]
        patch = photo[32 + y0 : 32 + y0 + field.size, 32 + x0 : 32 + x0 + field.size]
        down, right = (field.size * index for index in divmod(rank, 3))
        cell = np.s_[down : down + field.size, right : right + field.size]
        np.testing.assert_allclose(
            picture(root / "relu2" / "1-projections.png")[cell], signed_to_rgb(frame), atol=1
        )
        np.testing.assert_array_equal(picture(root / "relu2" / "1-patches.png")[cell], patch)
    rows = page(root / "relu2" / "1.html").all("tr")[1:]
    records = open_index(model, "them").records("relu2", 1)
    for record, row in zip(records, rows, strict=True):
        assert f"{record.value:.3g}" in row.text
        assert record.path in row.text


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_convolutional_layers_are_shown_at_each_epoch(
    whole: tuple[Path, Gallery], model: Model, page: Read
) -> None:
    root, gallery = whole
    assert gallery.epochs == (1, 2)
    (headings, *_) = page(root / "relu2" / "1.html").all("ol", "heads")
    assert [label in headings.text for label in ("epoch 1", "epoch 2", "epoch 9 (end)")] == [True] * 3
    size = receptive_fields(model.network.spec)["relu2"].size
    assert picture(root / "relu2" / "1-evolution.png").shape == (2 * size, 3 * size, 3)
    early_dead = page(root / "relu2" / "5.html").all("div", "epochs")[0]
    assert "dead" in early_dead.text
    assert not page(root / "fc3" / "0.html").all("section", "evolution")


def test_jumps_match_the_indexes(whole: tuple[Path, Gallery], model: Model, page: Read) -> None:
    root, _ = whole
    folder = indexes_folder(model)
    for number in (0, 1, 2, 4):
        strongest = []
        for name in ("them-epoch-001", "them-epoch-002", "them"):
            rows = pq.read_table(folder / name / "records.parquet").to_pylist()
            (row,) = (row for row in rows if (row["layer"], row["map"], row["rank"]) == ("relu2", number, 0))
            strongest.append(row["image"])
        headings = page(root / "relu2" / f"{number}.html").all("ol", "heads")[0].text
        jumps = sum(earlier != later for earlier, later in pairwise(strongest))
        assert headings.count("jump") == jumps


def test_missing_and_changed_photos_are_marked_until_they_are_restored(
    plan: GalleryPlan, photos: Path, analyze: Analyze, page: Read, tmp_path: Path
) -> None:
    gone, changed = photos / CLASS / PHOTO, photos / "01.png"
    before = {path: path.read_bytes() for path in (gone, changed)}
    try:
        gone.unlink()
        Image.new("RGB", (60, 48), (200, 10, 10)).save(changed)
        gallery = build_gallery(plan, analyze, tmp_path / "out")
    finally:
        for path, data in before.items():
            path.write_bytes(data)
    pages = [page(path) for path in (tmp_path / "out").rglob("[0-9]*.html")]
    for path, state in ((f"{CLASS}/{PHOTO}", "gone"), ("01.png", "changed")):
        rows = [row for parsed in pages for row in parsed.all("tr") if row.text.endswith(path)]
        assert rows
        assert all(state in row.text for row in rows)
    marked = page(tmp_path / "out" / "relu2" / "index.html").all("a", "marked")
    assert len(marked) == gallery.layers["relu2"].marked > 0
    restored = build_gallery(plan, analyze, tmp_path / "out")
    assert {layer.marked for layer in restored.layers.values()} == {0}


def test_the_same_plan_gives_the_same_bytes(
    whole: tuple[Path, Gallery], plan: GalleryPlan, analyze: Analyze, tmp_path: Path
) -> None:
    build_gallery(plan, analyze, tmp_path)
    assert contents(tmp_path) == contents(whole[0])


def test_an_interrupted_gallery_resumes(
    whole: tuple[Path, Gallery],
    plan: GalleryPlan,
    analyze: Analyze,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_module, "MAX_EVOLVED_MAPS", 3)
    inspected: list[tuple[str, tuple[int, ...]]] = []

    def fail_at_last_layer(name: str, parameters: Mapping[str, Any], report: Callable[[float], None]) -> Any:
        if parameters["layer"] == "fc3":
            raise RuntimeError("the plug was pulled")
        return analyze(name, parameters, report)

    def record_and_analyze(name: str, parameters: Mapping[str, Any], report: Callable[[float], None]) -> Any:
        inspected.append((parameters["layer"], tuple(parameters["maps"])))
        return analyze(name, parameters, report)

    with pytest.raises(RuntimeError, match="the plug was pulled"):
        build_gallery(plan, fail_at_last_layer, tmp_path)
    stored = {path.stem for path in (tmp_path / ".unfinished").glob("*-*.json")}
    assert stored
    assert not (tmp_path / "index.html").exists()
    reported: list[tuple[float, int]] = []
    build_gallery(
        plan, record_and_analyze, tmp_path, progress=lambda done, total: reported.append((done, total))
    )
    batches = {f"{batch.layer.name}-{batch.number}": (batch.layer.name, batch.maps) for batch in plan.batches}
    assert set(inspected) == {batch for name, batch in batches.items() if name not in stored}
    assert reported[-1] == (16, 16)
    assert reported[0][0] == sum(len(maps) for name, (_, maps) in batches.items() if name in stored)
    assert contents(tmp_path) == contents(whole[0])


def test_another_gallery_replaces_the_files_of_the_first(
    plan: GalleryPlan, model: Model, analyze: Analyze, tmp_path: Path
) -> None:
    build_gallery(plan, analyze, tmp_path)
    (tmp_path / "relu2" / "notes.txt").write_text("my own")
    fewer = plan_gallery(model, plan.index, layers=["relu2"], count=2, top=4, evolution=False)
    build_gallery(fewer, analyze, tmp_path, title="Two & two")
    maps = fewer.layers[0].maps
    assert set(contents(tmp_path)) == {
        *("index.html", "zfscope.css", "gallery.css", "tiles.js", "gallery.js", "gallery.json"),
        *("relu2/index.html", "relu2/notes.txt"),
        *(f"relu2/{number}.html" for number in maps),
        *(f"relu2/{number}-{kind}.png" for number in maps for kind in ("projections", "patches")),
    }
    assert "<h1>Two &amp; two</h1>" in (tmp_path / "index.html").read_text()


def test_a_folder_with_other_contents_is_not_touched(
    plan: GalleryPlan, analyze: Analyze, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("my own page")
    with pytest.raises(InputError, match="has other contents than a gallery; choose a new or empty folder"):
        build_gallery(plan, analyze, tmp_path)
    assert contents(tmp_path) == {"index.html": b"my own page"}
    with pytest.raises(InputError, match="is not a folder"):
        build_gallery(plan, analyze, tmp_path / "index.html")


def test_a_gallery_in_use_by_another_process_is_rejected(
    plan: GalleryPlan, analyze: Analyze, tmp_path: Path
) -> None:
    lock = tmp_path / ".unfinished" / "lock"
    lock.parent.mkdir()
    with FileLock(lock), pytest.raises(InputError, match="is being written by another process"):
        build_gallery(plan, analyze, tmp_path)
    assert contents(tmp_path) == {".unfinished/lock": b""}


def test_count_selects_the_strongest_maps(model: Model, plan: GalleryPlan) -> None:
    few = plan_gallery(model, plan.index, count=2)
    for layer in few.layers:
        maps = len(plan.index.alive(layer.name))
        scores = [plan.index.records(layer.name, number)[0].value for number in range(maps)]
        assert layer.maps == tuple(sorted(np.argsort(scores)[-2:].tolist()))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"layers": ["conv2"]},
            NotFound,
            f"'conv2' is not in index 'them'; available: {', '.join(LAYERS)}",
        ),
        ({"layers": ["conv9"]}, NotFound, "layer 'conv9' not found; available: conv1, relu1"),
        ({"top": 10}, InputError, r"top is 10; allowed: 1 to 9 \(index 'them' has 9 photos per map\)"),
        ({"top": 0}, InputError, "top is 0"),
        ({"count": 0}, InputError, "count is 0; allowed: 1 or more"),
    ],
)
def test_invalid_options_are_rejected(
    model: Model, plan: GalleryPlan, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan_gallery(model, plan.index, **options)


def test_the_identity_depends_on_epochs_and_top(plan: GalleryPlan) -> None:
    fewer = replace(plan, layers=tuple(replace(layer, epochs=()) for layer in plan.layers))
    assert len({plan.identity, fewer.identity, replace(plan, top=4).identity}) == 3
