"""`zfscope top-k`, in process and against a service."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zfscope.cli.top_k import print_maps
from zfscope.client import Analysis, Analyzed, Table
from zfscope.runtimes import create_runtime
from zfscope.scan import build_index, indexes_folder, open_data, plan_scan
from zfscope.store import ModelStore

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def photos(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos, indexed as `blobs` with version 1 of the model `tiny`."""
    folder = tmp_path_factory.mktemp("top-k") / "photos"
    for number in range(12):
        drawn = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        (folder / "ant").mkdir(parents=True, exist_ok=True)
        photo = Image.fromarray(drawn).resize((60, 48), Image.Resampling.BICUBIC)
        photo.save(folder / "ant" / f"{number:02}.png")
    model = ModelStore(store).load("tiny", 1)
    plan = plan_scan(model.network.spec, ["conv1", "conv5", "relu5"])
    runtime = create_runtime("torch", model)
    build_index(model, open_data(folder), plan, indexes_folder(model) / "blobs", runtime=runtime)
    return folder


@pytest.fixture
def missing(photos: Path) -> Iterator[str]:
    """Path of a photo that is missing during the test."""
    path = photos / "ant" / "05.png"
    data = path.read_bytes()
    path.unlink()
    yield "ant/05.png"
    path.write_bytes(data)


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("remote", [False, True])
def test_json_output_has_the_tables_and_the_files(
    run: Run, server: str, tmp_path: Path, remote: bool
) -> None:
    location = ["--server", server] if remote else []
    options = ["--version", 1, "--maps", "3,1", "--top", 2, "--control", "--tensors"]
    answer = json.loads(run("top-k", *options, "--out", tmp_path / "out", "--json", *location).stdout)
    names = {f"conv5-{name}.npy" for name in ("projections", "patches", "controls", "states")}
    names.add("conv5-top-k.png")
    assert {Path(path).name for path in answer["files"]} == names
    assert [row["map"] for row in answer["tables"]["maps"]] == [3, 1]
    records = answer["tables"]["records"]
    assert [(row["map"], row["rank"]) for row in records] == [(3, 0), (3, 1), (1, 0), (1, 1)]
    assert {row["state"] for row in records} == {"ok"}
    assert np.load(tmp_path / "out" / "conv5-projections.npy").shape[:3] == (2, 2, 3)


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("remote", [False, True])
def test_json_output_has_histograms_and_classes(run: Run, server: str, tmp_path: Path, remote: bool) -> None:
    location = ["--server", server] if remote else []
    options = ["--version", 1, "--maps", "3,1", "--top", 2, "--out", tmp_path, "--json"]
    tables = json.loads(run("top-k", *options, *location).stdout)["tables"]
    for number in (3, 1):
        bins = [row for row in tables["histograms"] if row["map"] == number]
        assert (bins[0]["lower"], bins[0]["upper"]) == (None, 0)
        assert sum(row["photos"] for row in bins) == 12
    assert {row["class"]: row["images"] for row in tables["classes"]} == {"ant": 12}
    assert [row["photos"] for row in tables["classes"]] == [9, 9]


@pytest.mark.usefixtures("photos")
def test_text_output_has_bars_and_classes(run: Run, tmp_path: Path) -> None:
    text = run("top-k", "--version", 1, "--maps", 3, "--out", tmp_path).stdout
    (row,) = [line for line in text.splitlines() if "12 of 12" in line]
    bars, classes = (cell.strip() for cell in row.split("│")[4:6])
    assert re.fullmatch("[ ▁▂▃▄▅▆▇█]{1,10}", bars)
    assert "█" in bars
    assert classes == "ant 9"


@pytest.mark.usefixtures("photos")
def test_text_output_lists_the_maps_and_the_picture(run: Run, tmp_path: Path) -> None:
    text = run("top-k", "--version", 1, "--count", 3, "--out", tmp_path).stdout
    assert "conv5 of tiny version 1" in text
    assert len(re.findall(r"ant/\d\d\.png", text)) == 3
    assert "12 of 12" in text
    assert str(tmp_path / "conv5-top-k.png") in text.replace("\n", "")
    assert (tmp_path / "conv5-top-k.png").read_bytes().startswith(b"\x89PNG")


def test_text_output_lists_missing_photos(run: Run, missing: str, tmp_path: Path) -> None:
    text = run("top-k", "--version", 1, "--count", 12, "--out", tmp_path).stdout
    assert re.search(rf"map \d+, photo \d+: gone: {missing}", text)


@pytest.mark.usefixtures("photos")
def test_consecutive_pages_contain_every_map_once(run: Run, tmp_path: Path) -> None:
    rows = []
    for first in (0, 7):
        page = ["--version", 1, "--count", 7, "--first", first, "--top", 1, "--out", tmp_path, "--json"]
        rows += json.loads(run("top-k", *page).stdout)["tables"]["maps"]
    assert sorted(row["map"] for row in rows) == list(range(12))


def test_a_dead_map_is_marked_as_dead(capsys: pytest.CaptureFixture[str]) -> None:
    record = {"layer": "relu5", "map": 4, "rank": 0, "value": 0.0, "state": "silent", "path": "a.jpg"}
    summary = {"map": 4, "alive": 0, "images": 12, "dead": 1}
    tables = {
        name: Table(tuple(row), (tuple(row.values()),))
        for name, row in (("records", record), ("maps", summary))
    }
    print_maps(Analyzed("tiny", 1, Analysis(tables=tables)), {"top-k.png": Path("top-k.png")})
    printed = capsys.readouterr().out
    assert "relu5 of tiny version 1" in printed
    assert "dead" in printed


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--version", 2],
            "model 'tiny' version 2 has no index; build one from your photos with: zfscope index",
        ),
        (
            ["--version", 1, "--index", "val"],
            "index 'val' of model 'tiny' version 1 not found .*; available: blobs",
        ),
        (
            ["--version", 1, "--layer", "norm1"],
            "'norm1' is not in index 'blobs'; available: conv1, conv5, relu5",
        ),
        (["--version", 1, "--maps", "0,12"], "no map 12 in layer 'conv5'; allowed: 0 to 11"),
        (
            ["--version", 1, "--maps", "0,x"],
            "--maps '0,x' is not a list of numbers; pass maps such as 3,17,240",
        ),
        (["--version", 1, "--maps", "1", "--count", "2"], "maps are set too; set only one of them"),
        (["--version", 1, "--top", "10"], "top is 10.*less than or equal to 9"),
        (["--version", 1, "--first", "12"], r"first is 12; allowed: 0 to 11 \(layer 'conv5' has 12 maps\)"),
        (["--version", 1, "--count", "65"], "count is 65.*less than or equal to 64"),
    ],
)
def test_an_invalid_option_is_reported_in_one_line(
    run: Run, server: str, options: list[object], message: str, remote: bool
) -> None:
    result = run("top-k", *options, *(["--server", server] if remote else []))
    assert result.code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert re.search(message, result.stderr)
