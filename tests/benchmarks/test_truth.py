"""`benchmarks.truth`, on a tiny model: the command as a whole, and its controls."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.truth import NAMES, main
from benchmarks.truth_findings import random_switches
from tests.benchmarks.test_quality import SPEC
from zfscope.engine import trace
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, MaxPool
from zfscope.networks.windows import Padding
from zfscope.store import Label, Manifest, Provenance, write_model

PADDED = NetworkSpec(
    name="padded",
    input_size=11,
    layers=(
        Conv(name="conv1", channels=2, kernel=2),
        MaxPool(name="pool1", kernel=3, stride=2, padding=Padding(1, 0, 0, 1), rounding="ceil"),
    ),
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with the model `tiny`."""
    steps = Preprocessing(short_side=32, centre=32, crop=32, std=(50, 50, 50))
    manifest = Manifest(
        name="tiny",
        version=1,
        summary="Random weights",
        network=SPEC,
        preprocessing=steps,
        labels=(Label(id="a", name="ant"), Label(id="b", name="bee")),
        provenance=Provenance(source="made up in a test"),
    )
    network = build(SPEC, generator=torch.Generator().manual_seed(3)).requires_grad_(False)
    write_model(tmp_path / "store", manifest, network)
    return tmp_path / "store"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of 25 photos each."""
    generator = np.random.default_rng(1)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(25):
            pixels = generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            photo = Image.fromarray(pixels).resize((36, 36), Image.Resampling.BICUBIC)
            photo.save(tmp_path / "photos" / name / f"{number:02}.png")
    return tmp_path / "photos"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., object]:
    """Runs the command with arguments, and returns the object of its last line."""

    def run_command(*arguments: object) -> object:
        monkeypatch.setattr(sys, "argv", ["truth", *map(str, arguments)])
        main()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run_command


def test_every_finding_has_a_value_and_a_control(
    run: Callable[..., object], store: Path, photos: Path, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a/00.png": {"class": "a", "box": [0, 0, 36, 18]}}))
    result = run(photos, "--store", store, "--photos", 3, "--boxes", boxes, "--methods", "occlude,gradient")
    found = result["models"]["tiny:1"]
    assert set(found) == {*NAMES} - {"settling"}  # no checkpoints
    assert [row["of"] for row in found["deletion"]] == [
        f"{method}, random {what}" for method in ("occlude", "gradient") for what in ("orders", "weights")
    ]
    assert all(0 <= row["value"] <= 1 for row in (*found["probe"], *found["rectification"]))
    assert found["probe"][0]["control"] == 0.5
    assert found["occlusion"] == [
        {"of": "lowest inside", "value": pytest.approx(0.5, abs=0.5), "control": 0.5, "count": 1}
    ]


def test_random_switches_lie_in_their_windows() -> None:
    network = build(PADDED, generator=torch.Generator().manual_seed(0)).double().requires_grad_(False)
    traced = trace(network, torch.randn(1, 3, 11, 11, dtype=torch.float64))
    seen = [set() for _ in range(traced.switches["pool1"][0, 0].numel())]
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        moved = random_switches(network, traced, generator)["pool1"]
        assert moved.shape == traced.switches["pool1"].shape
        for index, switch in enumerate(moved[0, 0].ravel().tolist()):
            seen[index].add(divmod(switch, 10))
    columns = moved.shape[3]
    for index, positions in enumerate(seen):
        y, x = divmod(index, columns)
        rows = {min(2 * y + step, 9) for step in range(3)}
        expected = {(row, min(max(2 * x - 1 + step, 0), 9)) for row in rows for step in range(3)}
        assert positions == expected


def test_an_unknown_finding_is_refused(
    run: Callable[..., object], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(photos, "--only", "love")
    assert "unknown finding 'love'; available: switches, rectification" in capsys.readouterr().err
