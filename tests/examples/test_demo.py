"""The whole demo, with a tiny model instead of the trained one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

CHECKOUT = Path(__file__).parents[2]
PHOTOS = ("china", "chelsea")
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture
def store(tmp_path: Path, write_store: Callable[[Path], Path]) -> Path:
    """A model with the five layers that the demo shows."""
    return write_store(tmp_path / "store")


def run_demo(out: Path, store: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    settings = {"ZFSCOPE_STORE": str(store), "XDG_CACHE_HOME": str(out.parent / "cache")}
    command = [sys.executable, "-m", "examples.demo", "--out", str(out), *options]
    return subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_demo_writes_a_sheet_for_every_layer_and_photo_and_prints_their_paths(
    tmp_path: Path, store: Path
) -> None:
    result = run_demo(tmp_path / "demo", store)
    assert (result.returncode, result.stderr) == (0, "")
    for name in (f"{photo}-{layer}.png" for photo in PHOTOS for layer in LAYERS):
        assert str(tmp_path / "demo" / name) in result.stdout
        Image.open(tmp_path / "demo" / name).verify()
    assert "china.jpg, 640 x 427 pixels" in result.stdout
    assert "tiny version 1: " in result.stdout
    assert "receptive field 11 x 11 of 16 x 16 pixels" in result.stdout

    assert "Without squeezenet-imagenet, which `zfscope models fetch squeezenet-imagenet`" in result.stdout
    assert "What to try next:" in result.stdout


def test_a_second_network_is_shown_side_by_side(
    tmp_path: Path, store: Path, write_store: Callable[..., Path]
) -> None:
    models = write_store(tmp_path / "models", name="squeezenet-imagenet", last="fire9")
    result = run_demo(tmp_path / "demo", store, "--models", str(models))
    assert (result.returncode, result.stderr) == (0, "")
    assert "squeezenet-imagenet version 1: " in result.stdout
    for photo in PHOTOS:
        with (
            Image.open(tmp_path / "demo" / f"{photo}-side-by-side.png") as both,
            Image.open(tmp_path / "demo" / f"{photo}-conv5.png") as one,
        ):
            assert both.width > 1.5 * one.width


def test_a_service_that_does_not_start_is_reported_in_one_line(tmp_path: Path, store: Path) -> None:
    (store / "tiny" / "1" / "weights.safetensors").unlink()
    result = run_demo(tmp_path / "demo", store)
    assert (result.returncode, result.stdout) == (2, "")
    assert "demo: the service did not start: " in result.stderr
    assert "model 'tiny' version 1: 'weights.safetensors' is missing" in result.stderr
    assert "Traceback" not in result.stderr
