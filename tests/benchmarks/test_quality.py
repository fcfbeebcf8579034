"""`benchmarks.quality`, on a tiny model: the command as a whole, and models of several stores."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.quality import MEASURES, load, main
from benchmarks.sample_photos import sample_photos
from zfscope import LocalClient
from zfscope.engine import trace
from zfscope.errors import NotFound
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.store import Label, Manifest, Provenance, open_store, write_model

SPEC = NetworkSpec(
    name="tiny",
    input_size=32,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=2, stride=2),
        Conv(name="conv2", channels=8, kernel=3),
        ReLU(name="relu2"),
        Flatten(name="flatten"),
        Linear(name="fc3", units=6),
        ReLU(name="relu3"),
        Linear(name="fc4", units=2),
    ),
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with the model `tiny`, whose map 3 of conv2 is dead."""
    network = build(SPEC, generator=torch.Generator().manual_seed(3)).requires_grad_(False)
    network.filters["conv2"].bias[3] = -1000
    labels = (Label(id="a", name="ant"), Label(id="b", name="bee"))
    steps = Preprocessing(short_side=32, centre=32, crop=32, std=(50, 50, 50))
    manifest = Manifest(
        name="tiny",
        version=1,
        summary="Random weights",
        network=SPEC,
        preprocessing=steps,
        labels=labels,
        provenance=Provenance(source="made up in a test"),
    )
    write_model(tmp_path / "store", manifest, network)
    return tmp_path / "store"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of 26 random photos each, dark and bright ones, and the class `odd` with one."""
    generator = np.random.default_rng(0)
    for name, low, count in (("dark", 0, 26), ("bright", 128, 26), ("odd", 0, 1)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(low, low + 128, (40, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., str]:
    """Returns a function that runs the benchmark and returns its output."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def call(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["quality", *map(str, arguments)])
        main()
        return capsys.readouterr().out

    return call


def active_maps(store: Path, photos: Path) -> NDArray[np.bool_]:
    """Return for each photo whether each map of conv2 has an activation above 0."""
    model = open_store(store).load("tiny")
    images = torch.cat([*sample_photos(model, photos, 100)])
    active: NDArray[np.bool_] = (trace(model.network, images).maps("conv2") > 0).any(3).any(2).numpy()
    return active


def test_every_measure_has_a_table_and_an_entry_in_the_json_object(
    run: Callable[..., str], store: Path, photos: Path, tmp_path: Path
) -> None:
    boxes, points = tmp_path / "boxes.json", tmp_path / "points.json"
    boxes.write_text(json.dumps({"dark/00.png": {"class": "a", "box": [0, 4, 32, 36]}}))
    parts = {"eye": [8, 12], "nose": [20, 21]}
    points.write_text(json.dumps({f"dark/0{number}.png": parts for number in range(3)}))
    output = run(
        photos, "--models", "tiny", "--store", store, "--validation", photos, "--boxes", boxes,
        "--points", points, "--probe", photos,
    )  # fmt: skip
    *tables, last = output.splitlines()
    rows = json.loads(last)["models"]["tiny:1"]
    assert [*rows] == [*MEASURES]
    assert all(f"tiny version 1, {measure}, " in "\n".join(tables) for measure in MEASURES)
    assert [*rows["control"]] == ["conv1", "conv2"]
    active = active_maps(store, photos)
    assert not active[:, 3].any()
    assert rows["control"]["conv2"]["units"] == active.sum()  # a photo has fewer than nine
    assert rows["lattice"]["conv2"]["maps"] == active.any(0).sum()
    assert rows["dead"]["relu2"] == {"maps": 8, "dead": 1 - active.any(0).mean()}
    assert rows["occlusion"]["all"]["photos"] == rows["occlusion"]["ant"]["photos"] == 1
    assert rows["occlusion"]["all"]["chance"] == 1  # the box is the crop
    assert {name: row["pairs"] for name, row in rows["correspondence"].items()} == {
        f"{layer}, {part}": 30 if part == "random" else 3
        for part in ("eye", "nose", "random")
        for layer in ("relu2", "relu3")
    }
    assert rows["probe"]["relu1"] == {"accuracy": 1, "deviation": 0}  # the classes differ in brightness


def test_measures_without_their_data_are_left_out(run: Callable[..., str], store: Path, photos: Path) -> None:
    output = run(photos / "odd", "--store", store)
    assert [*json.loads(output.splitlines()[-1])["models"]["tiny:1"]] == ["control", "lattice"]


def test_layers_and_measures_can_be_selected(run: Callable[..., str], store: Path, photos: Path) -> None:
    output = run(photos / "odd", "--store", store, "--layers", "conv2", "--only", "control")
    rows = json.loads(output.splitlines()[-1])["models"]["tiny:1"]
    assert {name: [*row] for name, row in rows.items()} == {"control": ["conv2"]}


def test_an_unknown_measure_is_rejected(run: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("photos", "--only", "control,beauty")
    assert "--only: unknown measure 'beauty'; available: control, lattice" in capsys.readouterr().err


def test_a_model_is_loaded_from_the_first_store_that_has_it(store: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty, full = LocalClient(tmp_path / "empty"), LocalClient(store)
    client, model = load([empty, full], "tiny:1")
    assert (client, model.name, model.version) == (full, "tiny", 1)
    with pytest.raises(NotFound, match="'other' not found"):
        load([empty, full], "other")
