"""`zfscope project`, in process and against a service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.numeric import assert_close
from zfscope.cli.project import as_object, contents, parse_unit
from zfscope.client import Picture, Projection, Projections, Unit
from zfscope.errors import InputError
from zfscope.images.geometry import Box

Run = Callable[..., Any]


def visible_files(folder: Path) -> list[str]:
    """Return the sorted names of the files in a folder, without hidden ones."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_picture_per_unit_and_a_sheet_are_written(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    result = run("project", photo, "--top", 3, "--out", out)
    assert result.code == 0
    assert f"Sheet of all projections: {out / 'blobs-conv5.png'}" in result.stdout
    pictures = visible_files(out)
    assert len(pictures) == 4
    for name in pictures:
        assert name in result.stdout
        Image.open(out / name).verify()


def test_json_output_is_one_object_with_the_files(run: Run, photo: Path, tmp_path: Path) -> None:
    result = run("project", photo, "--layer", "conv3", "--top", 2, "--out", tmp_path / "out", "--json")
    answer = json.loads(result.stdout)
    assert result.stderr == ""
    assert (answer["model"], answer["version"]) == ("tiny", 2)
    assert answer["photo"] == {"width": 60, "height": 48}
    strongest, second = answer["projections"]
    assert strongest["activation"] >= second["activation"] > 0
    assert strongest["layer"] == "conv3"
    assert set(strongest["receptive_field"]) == {"x0", "y0", "x1", "y1"}
    assert Path(answer["sheet"]).name == "blobs-conv3.png"
    expected = f"blobs-conv3-{strongest['map']}-{strongest['y']}-{strongest['x']}.png"
    assert Path(strongest["picture"]) == tmp_path / "out" / expected
    assert strongest["tensor"] is None


@pytest.mark.parametrize(
    "options",
    [
        ["--layer", "conv2", "--unit", "3", "--unit", "4:2:5"],
        ["--layer=conv1", "--top=2", "--rank=sum", "--rule=guided", "--normalisation=gradient"],
        ["--layer", "fc6", "--top", "2", "--control", "--version", "1", "--rule", "gradient"],
    ],
)
def test_a_service_returns_the_same_result(
    run: Run, photo: Path, server: str, tmp_path: Path, options: list[str]
) -> None:
    command = ["project", photo, "--json", "--tensors", *options]
    local = json.loads(run(*command, "--out", tmp_path / "local").stdout)
    remote = json.loads(run(*command, "--out", tmp_path / "remote", "--server", server).stdout)
    for ours, theirs in zip(local["projections"], remote["projections"], strict=True):
        assert (ours["map"], ours["y"], ours["x"]) == (theirs["map"], theirs["y"], theirs["x"])
        assert ours["activation"] == pytest.approx(theirs["activation"], rel=1e-4)
        assert ours["receptive_field"] == pytest.approx(theirs["receptive_field"])
        assert_close(np.load(ours["tensor"]), np.load(theirs["tensor"]))
        assert (ours["control_tensor"] is None) == ("--control" not in options)
        assert (theirs["control_tensor"] is None) == ("--control" not in options)


def test_requested_units_are_projected(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("project", photo, "--layer", "conv2", "--unit", "4:2:5", "--out", out, "--json")
    (item,) = json.loads(result.stdout)["projections"]
    assert (item["map"], item["y"], item["x"]) == (4, 2, 5)


def test_a_unit_of_a_fully_connected_layer_has_no_position(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("project", photo, "--layer", "fc6", "--unit", "2", "--out", out, "--tensors", "--control")
    assert "fc6 map 2 " in result.stdout
    names = ("fc6.png", "fc6-2.png", "fc6-2.npy", "fc6-2-control.npy")
    assert visible_files(out) == sorted(f"blobs-{name}" for name in names)
    assert np.load(out / "blobs-fc6-2.npy").shape == (3, 32, 32)


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--layer", "conv9"], "conv9"),
        (["--unit", "99"], "99"),
        (["--unit", "1:99:0"], "99"),
        (["--top", "0"], "top is 0"),
        (["--top", "1000000000"], "1000000000"),
        (["--unit", "1:2"], "'1:2' is not a valid unit"),
        (["--unit", "1", "--top", "2"], "--top 2 cannot be combined with --unit"),
    ],
)
def test_an_invalid_projection_is_reported_in_one_line_and_writes_nothing(
    run: Run, photo: Path, server: str, tmp_path: Path, remote: bool, options: list[str], part: str
) -> None:
    out = tmp_path / "out"
    result = run("project", photo, "--out", out, *options, *(["--server", server] if remote else []))
    assert (result.code, result.stdout) == (2, "")
    assert part in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_pictures_of_another_model_are_kept_under_its_name(run: Run, photo: Path, tmp_path: Path) -> None:
    command = ["project", photo, "--layer", "conv2", "--top", "1", "--out", tmp_path / "o"]
    first = json.loads(run(*command, "--json").stdout)["sheet"]
    before = Path(first).read_bytes()
    other = json.loads(run(*command, "--version", "1", "--json").stdout)["sheet"]
    assert [Path(each).name for each in (first, other)] == ["blobs-conv2.png", "blobs-tiny-v1-conv2.png"]
    assert Path(first).read_bytes() == before
    assert json.loads(run(*command, "--json").stdout)["sheet"] == first


def test_a_folder_that_cannot_be_created_is_reported_in_one_line(run: Run, photo: Path) -> None:
    result = run("project", photo, "--out", photo)
    assert (result.code, result.stdout) == (2, "")
    assert "File exists" in result.stderr
    assert result.stderr.count("\n") == 1


PICTURE = Picture(name="conv1", png=b"png", scale="grey is zero")


def projections(layer: str, picture: Picture | None) -> Projections:
    projection = Projection(layer, 7, 1, 2, 0.5, Box(0, 0, 1, 1), picture, None, None, None, None)
    return Projections("tiny", 1, (projection,), None, (1, 1))


def test_a_layer_name_cannot_escape_the_folder() -> None:
    result = projections("../../etc/conv1", PICTURE)
    assert contents(result) == {"______etc_conv1-7-1-2.png": b"png"}


def test_unrequested_parts_have_no_files() -> None:
    result = projections("conv1", None)
    assert contents(result) == {}
    (item,) = as_object(result, {})["projections"]
    assert [item[field] for field in ("picture", "tensor", "control_tensor")] == [None, None, None]


def test_each_projection_lists_its_own_files() -> None:
    written = {"conv1-7-1-2.png": Path("a"), "conv1-7-1-2-control.npy": Path("b"), "conv1.png": Path("c")}
    answer = as_object(projections("conv1", PICTURE), written)
    (item,) = answer["projections"]
    assert [item[field] for field in ("picture", "tensor", "control_tensor")] == ["a", None, "b"]
    assert answer["sheet"] == "c"


@pytest.mark.parametrize(("text", "unit"), [("12", Unit(12)), ("0", Unit(0)), ("12:3:4", Unit(12, 3, 4))])
def test_a_unit_is_a_map_or_a_position_in_a_map(text: str, unit: Unit) -> None:
    assert parse_unit(text) == unit


@pytest.mark.parametrize("text", ["", "a", "-1", "1:2", "1:2:3:4", "1:2:", " 1", "1.0", "9" * 10, "1\n"])
def test_an_invalid_unit_is_rejected_with_the_allowed_forms(text: str) -> None:
    with pytest.raises(InputError, match=r"use MAP .* or MAP:Y:X") as refusal:
        parse_unit(text)
    assert refusal.value.field == "unit"
