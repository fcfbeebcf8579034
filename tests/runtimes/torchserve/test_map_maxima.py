"""Map maxima and scans by a real TorchServe."""

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
from zfscope.scan import Index, build_index, open_data, plan_scan
from zfscope.store import Model

LAYERS = ("conv1", "conv2", "fc8")
UNUSED_ADDRESS = "127.0.0.1:1"


@pytest.mark.parametrize("sums", [False, True])
def test_maxima_equal_those_of_torch(tiny: Model, torchserve: TorchServe, sums: bool) -> None:
    images = images_of(tiny, 5)
    result = create_runtime("torchserve", tiny, torchserve=torchserve).map_maxima(images, LAYERS, sums=sums)
    expected = create_runtime("torch", tiny).map_maxima(images, LAYERS, sums=sums)
    assert tuple(result) == LAYERS
    for layer, maxima in result.items():
        other = expected[layer]
        assert_close(maxima.values, other.values)
        np.testing.assert_array_equal(maxima.indices, other.indices, strict=True)
        assert (maxima.sums is None, other.sums is None) == (not sums, not sums)
        if maxima.sums is not None and other.sums is not None:
            assert_close(maxima.sums, other.sums)


def test_an_unknown_layer_is_rejected_before_the_request(tiny: Model) -> None:
    runtime = create_runtime("torchserve", tiny, torchserve=TorchServe(UNUSED_ADDRESS))
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
    plan = plan_scan(model.network.spec, LAYERS, top=5)
    with_runtime = create_runtime(
        runtime, model, threads=1, cache=target.parent / "graphs", torchserve=torchserve
    )
    return build_index(model, open_data(photos), plan, target, runtime=with_runtime)


def test_an_index_lists_the_same_photos_as_one_built_with_onnx_runtime(
    tiny: Model, torchserve: TorchServe, photos: Path, tmp_path: Path
) -> None:
    by_torchserve = index(tiny, photos, tmp_path / "made", "torchserve", torchserve)
    by_onnx = index(tiny, photos, tmp_path / "other", "onnx", torchserve)
    assert (by_torchserve.manifest.origin.runtime, by_onnx.manifest.origin.runtime) == ("torchserve", "onnx")
    for layer in LAYERS:
        for number in range(tiny.network.shapes[layer][0]):
            records = by_torchserve.records(layer, number)
            expected = [(record.path, record.y, record.x) for record in by_onnx.records(layer, number)]
            assert [(record.path, record.y, record.x) for record in records] == expected


def test_the_index_command_uses_the_given_runtime(
    tiny: Model, torchserve: TorchServe, photos: Path, tmp_path: Path
) -> None:
    assert tiny.folder is not None
    options = ["--store", str(tiny.folder.parents[1]), "--out", str(tmp_path / "out"), "--json"]
    command = ["index", str(photos), *options, "--runtime", "torchserve", "--torchserve"]
    failed = CliRunner().invoke(app, [*command, UNUSED_ADDRESS])
    assert failed.exit_code == 2
    assert f"TorchServe at {UNUSED_ADDRESS} is unreachable" in failed.stderr
    succeeded = CliRunner().invoke(app, [*command, torchserve.address])
    assert succeeded.exit_code == 0, succeeded.stderr
    assert '"runtime": "torchserve"' in (tmp_path / "out" / "photos" / "index.json").read_text()


def test_an_unreachable_torchserve_stops_the_scan(tiny: Model, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailable, match="is unreachable"):
        index(tiny, photos, tmp_path / "made", "torchserve", TorchServe(UNUSED_ADDRESS))
