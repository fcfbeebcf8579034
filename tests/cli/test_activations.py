"""`zfscope activations`, in process and against a service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.numeric import assert_close
from zfscope.cli.activations import as_object, contents, parse_box
from zfscope.client import Activations, ActiveUnit, Box, Picture
from zfscope.errors import InputError

Run = Callable[..., Any]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_picture_per_map_and_a_sheet_are_written(run: Run, photo: Path, tmp_path: Path) -> None:
    result = run("activations", photo, "--top", 2, "--out", tmp_path / "out")
    assert result.code == 0
    assert f"Sheet of all maps: {tmp_path / 'out' / 'blobs-conv5-activations.png'}" in result.stdout
    written = names_in(tmp_path / "out")
    assert len(written) == 3
    for name in written:
        assert name in result.stdout
        Image.open(tmp_path / "out" / name).verify()


@pytest.mark.parametrize(
    "options",
    [
        ["--layer", "conv2", "--maps", "3,1"],
        ["--layer=conv1", "--top=2", "--rank=sum", "--box", "10,5,40.5,30"],
        ["--layer", "conv3", "--y", "20", "--x", "25", "--version", "1"],
        ["--layer", "fc6", "--top", "2"],
    ],
)
def test_a_service_returns_the_same_result(
    run: Run, photo: Path, server: str, tmp_path: Path, options: list[str]
) -> None:
    command = ["activations", photo, "--json", "--tensors", *options]
    local = json.loads(run(*command, "--out", tmp_path / "local").stdout)
    remote = json.loads(run(*command, "--out", tmp_path / "remote", "--server", server).stdout)
    assert len(local["units"]) == 2 or "--y" in options
    for ours, theirs in zip(local["units"], remote["units"], strict=True):
        assert [ours[name] for name in ("map", "y", "x", "rank", "label")] == [
            theirs[name] for name in ("map", "y", "x", "rank", "label")
        ]
        assert_close(ours["activation"], theirs["activation"])
        assert ours["receptive_field"] == pytest.approx(theirs["receptive_field"])
        for each in (ours, theirs):
            assert (each["picture"] is None) == ("fc6" in options)
    assert_close(np.load(local["maps"]), np.load(remote["maps"]))
    assert (local["layer"], local["map_count"]) == (remote["layer"], remote["map_count"])
    assert Path(local["sheet"]).name == Path(remote["sheet"]).name


def test_several_photos_give_an_object_each(run: Run, photo: Path, tmp_path: Path) -> None:
    result = run("activations", photo, photo, "--top", 1, "--out", tmp_path / "out", "--json")
    files = [json.loads(line)["file"] for line in result.stdout.splitlines()]
    assert files == [str(photo)] * 2


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--layer", "conv9"], "layer 'conv9' not found"),
        (["--maps", "99"], "no map 99 in layer 'conv5'"),
        (["--maps", "1", "--top", "2"], "maps are set too"),
        (["--y", "20"], "set both y and x, or neither"),
        (["--y", "20", "--x", "900"], "x is 900, outside of the part of the photo"),
        (["--box", "900,0,910,10"], "box is (900, 0, 910, 10), outside of the part of the photo"),
        (["--box", "1,2,3"], "'1,2,3' is not a valid box; use X0,Y0,X1,Y1"),
    ],
)
def test_an_invalid_request_is_reported_in_one_line_and_writes_nothing(
    run: Run, photo: Path, server: str, tmp_path: Path, remote: bool, options: list[str], part: str
) -> None:
    out = tmp_path / "out"
    result = run("activations", photo, "--out", out, *options, *(["--server", server] if remote else []))
    assert (result.code, result.stdout) == (2, "")
    assert part in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def activations(layer: str, picture: Picture | None) -> Activations:
    unit = ActiveUnit(7, 1, 2, 0.5, 0.75, 0, "", Box(0, 0, 1, 1), picture)
    return Activations("tiny", 1, layer, 12, (unit,), None, (1, 1), None)


def test_a_layer_name_cannot_escape_the_folder() -> None:
    picture = Picture("../../etc/conv1-activations-7", b"png", "grey is zero")
    assert contents(activations("../../etc/conv1", picture)) == {"______etc_conv1-activations-7.png": b"png"}


def test_unrequested_parts_have_no_files() -> None:
    result = activations("conv1", None)
    assert contents(result) == {}
    answer = as_object(result, {})
    assert (answer["sheet"], answer["maps"], answer["units"][0]["picture"]) == (None, None, None)


def test_a_box_is_four_numbers() -> None:
    assert parse_box("1,2.5,-3,40") == Box(1, 2.5, -3, 40)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,2,3,4", "1, 2,3,4", "nan,1,2,3", "1e3,1,2,3"])
def test_an_invalid_box_is_rejected_with_the_allowed_form(text: str) -> None:
    with pytest.raises(InputError, match="use X0,Y0,X1,Y1 in photo pixels") as refusal:
        parse_box(text)
    assert refusal.value.field == "box"
