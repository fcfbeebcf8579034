"""`zfscope analyze` and `zfscope analyzers`, in process and against a service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., Any]


def test_text_output_is_a_table_of_analyzers(run: Run) -> None:
    text = run("analyzers").stdout
    assert "project" in text
    assert "zfscope 0." in text


def test_a_service_lists_the_same_analyzers(run: Run, server: str) -> None:
    local = json.loads(run("analyzers", "--json").stdout)
    remote = json.loads(run("analyzers", "--json", "--server", server).stdout)
    assert local == remote


def test_the_help_of_an_analyzer_lists_its_options(run: Run) -> None:
    result = run("analyze", "project", "--help")
    assert result.code == 0
    assert "--layer STRING" in result.stdout
    assert "--rank {max,sum}" in result.stdout


@pytest.mark.parametrize("remote", [False, True])
def test_pictures_and_tensors_are_written_to_a_folder(
    run: Run, photo: Path, server: str, tmp_path: Path, remote: bool
) -> None:
    out = tmp_path / "out"
    location = ["--server", server] if remote else []
    arguments = [
        "project",
        photo,
        "--layer",
        "conv3",
        "--top",
        2,
        "--tensors",
        "--out",
        out,
        "--json",
        *location,
    ]
    answer = json.loads(run("analyze", *arguments).stdout)

    assert (answer["model"], answer["version"]) == ("tiny", 2)
    rows = answer["tables"]["projections"]
    assert len(rows) == 2
    assert sorted(answer["files"]) == sorted(map(str, out.glob("[!.]*")))
    assert (out / f"blobs-{rows[0]['picture']}.png").read_bytes().startswith(b"\x89PNG")
    assert np.load(out / "blobs-projections.npy").shape == (2, 3, 32, 32)


def test_text_output_has_the_tables(run: Run, photo: Path, tmp_path: Path) -> None:
    text = run("analyze", "project", photo, "--layer", "conv3", "--top", 2, "--out", tmp_path).stdout
    assert "project, by tiny version 2: projections" in text
    assert f"3 files in {tmp_path}" in text


@pytest.mark.parametrize("remote", [False, True])
def test_transformations_and_their_values_are_options(
    run: Run, photo: Path, server: str, tmp_path: Path, remote: bool
) -> None:
    location = ["--server", server] if remote else []
    kinds = ["--transformations", "vertical", "--transformations", "scale"]
    values = ["--translations-px", "-6", "--translations-px", "0", "--scales", "1.5"]
    arguments = [
        "invariance",
        photo,
        photo,
        *kinds,
        *values,
        "--layers",
        "conv1",
        "--labels",
        "bee",
        "--labels",
        "",
    ]
    answer = json.loads(run("analyze", *arguments, "--out", tmp_path / "out", "--json", *location).stdout)

    steps = [(row["photo"], row["transformation"], row["value"]) for row in answer["tables"]["curves"]]
    assert steps == [
        (n, *step) for n in (0, 1) for step in (("vertical", -6), ("vertical", 0), ("scale", 1.5))
    ]
    assert [row["chosen"] for row in answer["tables"]["photos"]] == ["given", "likeliest"]
    assert answer["files"] == [str(tmp_path / "out" / "blobs-invariance.png")]


@pytest.fixture
def boxes(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a value to a JSON file."""

    def write(content: Any) -> Path:
        (tmp_path / "boxes.json").write_text(json.dumps(content))
        return tmp_path / "boxes.json"

    return write


NOSE = {"x0": 20, "y0": 12, "x1": 36, "y1": 30}


@pytest.mark.parametrize("remote", [False, True])
def test_boxes_of_parts_are_read_from_a_file(
    run: Run, photo: Path, server: str, tmp_path: Path, boxes: Callable[[Any], Path], remote: bool
) -> None:
    location = ["--server", server] if remote else []
    parts = boxes([{"name": "nose", "boxes": [NOSE, NOSE]}])
    arguments = ["correspond", photo, photo, "--parts", parts, "--layers", "fc6", "--random", 2]
    answer = json.loads(run("analyze", *arguments, "--out", tmp_path / "out", "--json", *location).stdout)

    nose, control = answer["tables"]["correspondence"]
    assert nose == {"part": "nose", "layer": "fc6", "mean": 0, "deviation": 0, "pairs": 1}
    assert (control["part"], control["pairs"]) == ("random", 2)
    assert answer["files"] == [str(tmp_path / "out" / "blobs-correspondence.png")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"nose": [NOSE, NOSE]}, "parts is invalid: Input should be a list"),
        ([NOSE], "parts[0].name is missing; it is required"),
        ([{"name": "nose", "boxes": [[20, 12, 36, 30]]}], "parts[0].boxes[0] is ["),
        ([{"name": "nose", "boxes": [NOSE]}], "parts[0].boxes of 'nose' has 1 boxes for 2 photos"),
        (
            [{"name": "nose", "boxes": [NOSE, {**NOSE, "x1": 5}]}],
            "the box is empty: x0 has to be less than x1",
        ),
        (
            [{"name": "nose", "boxes": [NOSE, {**NOSE, "x1": None}]}],
            "parts[0].boxes[1].x1 is invalid: Input should be a valid number",
        ),
    ],
)
@pytest.mark.parametrize("remote", [False, True])
def test_boxes_of_an_invalid_structure_are_reported_in_one_line(
    run: Run, photo: Path, server: str, boxes: Callable[[Any], Path], content: Any, message: str, remote: bool
) -> None:
    location = ["--server", server] if remote else []
    arguments = ["correspond", photo, photo, "--parts", boxes(content), "--layers", "fc6", *location]
    result = run("analyze", *arguments)

    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture
def masks(tmp_path: Path) -> list[Path]:
    """Two masks as large as the photo (its left half, a central square) and one of another size."""
    files = [tmp_path / name for name in ("left.png", "middle.png", "other.png")]
    left, middle = np.zeros((2, 48, 60), bool)
    left[:, :30] = middle[11:31, 21:41] = True
    for file, mask in zip(files, (left, middle, left[:, 1:]), strict=True):
        Image.fromarray(mask).save(file)
    return files


@pytest.mark.parametrize("remote", [False, True])
def test_masks_are_read_from_files(
    run: Run, photo: Path, server: str, tmp_path: Path, masks: list[Path], remote: bool
) -> None:
    location = ["--server", server] if remote else []
    out = tmp_path / "out"
    arguments = ["occlude", photo, "--masks", *masks[:2], "--tensors", "--out", out, "--json", *location]
    answer = json.loads(run("analyze", *arguments).stdout)

    assert answer["numbers"] == {"windows": 2}
    assert np.load(out / "blobs-windows.npy").tolist() == [[0, 0, 32, 16], [6, 9, 15, 15]]
    values = np.load(out / "blobs-values.npy")[0]
    heat = np.load(out / "blobs-photo-value-maps.npy")[0]
    assert heat[5, 20] == pytest.approx(values[0])
    assert heat[20, 35] == pytest.approx(values[1])
    assert heat[20, 25] == pytest.approx(values.mean())


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("form", ["{0},{1} {2},{1} {0},{3}", "[[[{0}, {1}], [{2}, {1}], [{0}, {3}]]]"])
def test_polygons_are_typed_or_json(
    run: Run, photo: Path, server: str, tmp_path: Path, form: str, remote: bool
) -> None:
    location = ["--server", server] if remote else []
    arguments = ["occlude", photo, "--polygons", form.format(20, 10, 40, 30), "--out", tmp_path, "--json"]
    answer = json.loads(run("analyze", *arguments, *location).stdout)

    assert answer["numbers"] == {"windows": 1}
    (row,) = answer["tables"]["classes"]
    assert {"label": row["label"], "clean": row["clean"], "occluded": row["lowest"]}.items() <= next(
        change for change in answer["tables"]["changes"] if change["label"] == row["label"]
    ).items()


def test_a_polygon_outside_of_the_crop_is_named(run: Run, photo: Path) -> None:
    result = run("analyze", "occlude", photo, "--polygons", "20,10 40,10 20,30; 0,0 1,0 0,1")
    assert (result.code, result.stdout) == (2, "")
    assert "polygons[1] has no pixel within the part of the photo that the network sees" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("index", "options", "message"),
    [
        (2, [], "masks[0] is 59 x 48 pixels; the photo is 60 x 48"),
        (0, ["nowhere.png"], "argument --masks: 'nowhere.png' cannot be read: No such file"),
        (0, [__file__], "masks[1] is not an image"),
        (
            0,
            ["--boxes", '[{"x0": 20, "y0": 10, "x1": 40, "y1": 30}]'],
            "masks are set too; set only one of them",
        ),
    ],
)
@pytest.mark.parametrize("remote", [False, True])
def test_invalid_masks_are_reported_in_one_line(
    run: Run,
    photo: Path,
    server: str,
    masks: list[Path],
    index: int,
    options: list[str],
    message: str,
    remote: bool,
) -> None:
    location = ["--server", server] if remote else []
    result = run("analyze", "occlude", photo, "--masks", masks[index], *options, *location)

    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "photo"], "analyzer 'nothing' not found; available: activations, compare-architectures"),
        (["project", "photo", "--speed", "3"], "--speed is not known; allowed: --"),
        (["project", "photo", "--top", "0"], "top is 0"),
        (["project", "photo", "--layer", "conv9"], "layer 'conv9' not found; available: conv1"),
        (["project", "nowhere.jpg"], "'nowhere.jpg' cannot be read"),
        (["project"], "required: PHOTO"),
        (["correspond", "photo", "photo"], "required: --parts"),
        (
            ["correspond", "photo", "photo", "--parts", "nowhere.json"],
            "argument --parts: 'nowhere.json' is neither valid JSON nor a readable file: No such file",
        ),
        (["correspond", "photo", "photo", "--parts", "[{"], "argument --parts: '[{' is not valid JSON"),
        (["correspond", "photo", "photo", "--parts", "[]"], "parts is []"),
        (["correspond", "photo", "--parts", "[]"], "1 photo; 'correspond' takes 2 to 32"),
    ],
)
@pytest.mark.parametrize("remote", [False, True])
def test_an_invalid_analysis_is_reported_in_one_line_and_writes_nothing(
    run: Run, photo: Path, server: str, tmp_path: Path, arguments: list[str], message: str, remote: bool
) -> None:
    out = tmp_path / "out"
    replaced = [str(photo) if argument == "photo" else argument for argument in arguments]
    result = run("analyze", *replaced, "--out", out, *(["--server", server] if remote else []))
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_the_named_model_of_several_is_analysed(
    run: Run, tmp_path: Path, photo: Path, write: Callable[..., Path]
) -> None:
    write(tmp_path / "models", 1, "one")
    write(tmp_path / "models", 1, "two")
    options = ["--store", tmp_path / "models", "--model", "two", "--out", tmp_path / "out", "--json"]
    result = run("analyze", "project", photo, "--layer", "conv2", "--top", 1, *options)
    assert (result.code, json.loads(result.stdout)["model"]) == (0, "two")
