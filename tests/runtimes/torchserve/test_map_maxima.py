"""A scan whose forward passes TorchServe runs: the real one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.runtimes.torchserve.test_runtime import images_of
from tests.support.numeric import assert_close
from zfscope.cli.app import app
from zfscope.errors import NotFound, RuntimeUnavailable
from zfscope.runtimes import create_runtime
from zfscope.runtimes.torchserve import TorchServe
from zfscope.scan import Index, build_index, make_plan, open_data
from zfscope.store import Model

LAYERS = ("conv1", "conv2", "fc8")
NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize("sums", [False, True])
def test_the_strongest_units_are_those_that_torch_finds(
    tiny: Model, torchserve: TorchServe, sums: bool
) -> None:
    images = images_of(tiny, 5)
    found = create_runtime("torchserve", tiny, torchserve=torchserve).map_maxima(images, LAYERS, sums=sums)
    expected = create_runtime("torch", tiny).map_maxima(images, LAYERS, sums=sums)
    assert tuple(found) == LAYERS
    for layer, one in found.items():
        other = expected[layer]
        assert_close(one.values, other.values)
        np.testing.assert_array_equal(one.indices, other.indices, strict=True)
        assert (one.sums is None, other.sums is None) == (not sums, not sums)
        if one.sums is not None and other.sums is not None:
            assert_close(one.sums, other.sums)


def test_an_unknown_layer_is_told_before_it_is_asked(tiny: Model) -> None:
    runtime = create_runtime("torchserve", tiny, torchserve=TorchServe(NOBODY))
    with pytest.raises(NotFound, match="layer 'conv9' not found"):
        runtime.map_maxima(images_of(tiny, 1), ["conv9"])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(40):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def index(model: Model, photos: Path, target: Path, runtime: str, torchserve: TorchServe) -> Index:
    plan = make_plan(model.network.spec, LAYERS, top=5)
    by = create_runtime(runtime, model, threads=1, cache=target.parent / "graphs", torchserve=torchserve)
    return build_index(model, open_data(photos), plan, target, runtime=by)


def test_an_index_names_the_same_photos_as_one_of_onnx_runtime(
    tiny: Model, torchserve: TorchServe, photos: Path, tmp_path: Path
) -> None:
    made = index(tiny, photos, tmp_path / "made", "torchserve", torchserve)
    other = index(tiny, photos, tmp_path / "other", "onnx", torchserve)
    assert (made.manifest.origin.runtime, other.manifest.origin.runtime) == ("torchserve", "onnx")
    for layer in LAYERS:
        for map in range(tiny.network.shapes[layer][0]):
            records = [(record.path, record.y, record.x) for record in made.records(layer, map)]
            assert records == [(record.path, record.y, record.x) for record in other.records(layer, map)]


def test_the_command_takes_the_runtime_that_is_chosen(
    tiny: Model, torchserve: TorchServe, photos: Path, tmp_path: Path
) -> None:
    assert tiny.folder is not None
    wishes = ["--store", str(tiny.folder.parents[1]), "--out", str(tmp_path / "out"), "--json"]
    run = ["index", str(photos), *wishes, "--runtime", "torchserve", "--torchserve"]
    nobody = CliRunner().invoke(app, [*run, NOBODY])
    assert nobody.exit_code == 2
    assert f"TorchServe at {NOBODY} is unreachable" in nobody.stderr
    done = CliRunner().invoke(app, [*run, torchserve.address])
    assert done.exit_code == 0, done.stderr
    assert '"runtime": "torchserve"' in (tmp_path / "out" / "photos" / "index.json").read_text()


def test_a_torchserve_that_is_not_there_ends_the_scan(tiny: Model, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match="is unreachable"):
        index(tiny, photos, tmp_path / "made", "torchserve", TorchServe(NOBODY))
