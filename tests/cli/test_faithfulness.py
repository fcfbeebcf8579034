"""`zfscope faithfulness`, in process and against a service, and as an analysis of a data set."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

Run = Callable[..., Any]
QUICK = ("--step", "0.5", "--random", "1", "--method-parameters", '{"window": 16, "stride": 16}')


def test_areas_are_printed_and_the_figure_written(run: Run, photo: Path, tmp_path: Path) -> None:
    result = run("faithfulness", photo, *QUICK, "--box", "10,10,30,30", "--out", tmp_path)
    assert result.code == 0
    figure = tmp_path / "blobs-faithfulness.png"
    assert f"Figure: {figure}" in result.stdout
    Image.open(figure).verify()
    for word in ("deletion", "insertion", "lower", "higher", "attribution; the highest attribution is "):
        assert word in result.stdout


def test_a_service_returns_the_same_areas(run: Run, photo: Path, server: str, tmp_path: Path) -> None:
    command = ["faithfulness", photo, *QUICK, "--json", "--label", "dog", "--removal", "mean"]
    local = json.loads(run(*command, "--out", tmp_path / "local").stdout)
    remote = json.loads(run(*command, "--out", tmp_path / "remote", "--server", server).stdout)
    assert local["numbers"] == pytest.approx(remote["numbers"], rel=1e-3)
    assert local["tables"]["photos"][0]["label"] == "dog"


def test_several_photos_have_means_with_deviations(run: Run, photo: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.open(photo).rotate(180).save(other)
    result = run("faithfulness", photo, other, *QUICK, "--out", tmp_path / "out")
    assert result.code == 0
    assert "2 photos, by tiny" in result.stdout
    assert "\u00b1" in result.stdout


def test_several_photos_are_named_in_the_json_and_in_errors(run: Run, photo: Path, tmp_path: Path) -> None:
    good = json.loads(run("faithfulness", photo, photo, *QUICK, "--json", "--out", tmp_path / "out").stdout)
    assert good["photos"] == [str(photo), str(photo)]
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(photo.read_bytes()[:100])
    result = run("faithfulness", photo, damaged, *QUICK, "--out", tmp_path / "out")
    assert result.code == 2
    assert f"zfscope: {damaged}: images[1].encoded is a damaged" in result.stderr


def test_an_attribution_is_read_from_a_file(run: Run, photo: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(32, 32)).astype(np.float32)
    np.save(tmp_path / "map.npy", values)
    options = ["--attribution", tmp_path / "map.npy", "--step", "0.5", "--tensors"]
    result = run("faithfulness", photo, *options, "--out", tmp_path / "out")
    assert result.code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "blobs-attribution.npy"), values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "occlud"], "analyzer 'occlud' not found; available: activations"),
        (["--method-parameters", "{"], "'{' is not valid JSON"),
        (["--method-parameters", "[]"], "'[]' is not a JSON object"),
        (["--method-parameters", '{"stride": 0}'], "method_parameters.stride is 0: Input should be greater"),
        (["--attribution", "missing.npy"], "'missing.npy' cannot be read"),
        (["--label", "cow"], "label 'cow' not found"),
        (["--box", "1,2,3"], "'1,2,3' is not a valid box"),
    ],
)
def test_errors_are_one_line(run: Run, photo: Path, tmp_path: Path, options: list[str], message: str) -> None:
    result = run("faithfulness", photo, *options, "--out", tmp_path / "out")
    assert result.code == 2
    assert message in result.stderr


def test_a_data_set_is_measured_photo_by_photo(run: Run, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "blobs"
    folder.mkdir(parents=True)
    Image.open(photo).save(folder / "one.png")
    Image.open(photo).rotate(180).save(folder / "two.png")
    result = run("run", "faithfulness", tmp_path / "data", *QUICK, "--out", tmp_path / "out")
    assert result.code == 0, result.stderr
    rows = pd.read_parquet(tmp_path / "out" / "results.parquet")
    areas = rows[rows.table == "photos"].dropna(axis=1, how="all")
    assert list(areas.path) == ["blobs/one.png", "blobs/two.png"]
    assert areas.deletion_area.nunique() == 2


def test_a_run_rejects_a_method_before_anything_is_loaded(run: Run, photo: Path, tmp_path: Path) -> None:
    result = run("run", "faithfulness", photo.parent, "--method", "top-k", "--out", tmp_path / "out")
    assert result.code == 2
    assert "1 photo; 'top-k' takes 0" in result.stderr
