"""`zfscope classify`, in process and against a service."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Run = Callable[..., Any]
LABELS = {"ant", "bee", "church", "dog"}


def test_text_output_is_a_table_of_classes(run: Run, photo: Path) -> None:
    result = run("classify", photo, "--top", 2)
    assert result.code == 0
    assert "blobs.png, by tiny version 2" in result.stdout
    assert sum(label in result.stdout for label in LABELS) == 2


def test_json_output_is_one_object(run: Run, photo: Path) -> None:
    result = run("classify", photo, "--json")
    answer = json.loads(result.stdout)
    assert result.stderr == ""
    assert (answer["model"], answer["version"]) == ("tiny", 2)
    assert answer["photo"] == {"width": 60, "height": 48}
    probabilities = [score["probability"] for score in answer["classes"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    assert {score["label"] for score in answer["classes"]} == LABELS
    assert {score["id"] for score in answer["classes"]} == {"n0", "n1", "n2", "n3"}


@pytest.mark.parametrize(
    "options", [[], ["--ten-crop"], ["--version", "1", "--top", "3"], ["--model", "tiny"]]
)
def test_a_service_returns_the_same_result(run: Run, photo: Path, server: str, options: list[str]) -> None:
    local = json.loads(run("classify", photo, "--json", *options).stdout)
    remote = json.loads(run("classify", photo, "--json", "--server", server, *options).stdout)
    for ours, theirs in zip(local.pop("classes"), remote.pop("classes"), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert local == remote


@pytest.mark.parametrize("from_environment", [True, False])
def test_the_address_of_torchserve_is_an_option_or_a_variable(
    run: Run, photo: Path, from_environment: bool
) -> None:
    options = [] if from_environment else ["--torchserve", "127.0.0.1:1"]
    env = {"ZFSCOPE_TORCHSERVE": "127.0.0.1:1" if from_environment else "127.0.0.1:2"}
    result = run("classify", photo, "--runtime", "torchserve", *options, env=env)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == "zfscope: TorchServe at 127.0.0.1:1 is unreachable, or closed the connection\n"


def test_both_runtimes_return_the_same_classes(run: Run, photo: Path) -> None:
    with_onnx = json.loads(run("classify", photo, "--json").stdout)["classes"]
    with_torch = json.loads(run("classify", photo, "--json", "--runtime", "torch").stdout)["classes"]
    for one, other in zip(with_onnx, with_torch, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_ten_crops_change_the_result(run: Run, photo: Path) -> None:
    assert run("classify", photo, "--json").stdout != run("classify", photo, "--json", "--ten-crop").stdout


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "other"], "model 'other' not found; available: tiny"),
        (["--version", "9"], "model 'tiny' has no version 9; available: 1, 2"),
    ],
)
def test_an_unknown_model_or_version_is_reported_in_one_line(
    run: Run, photo: Path, server: str, remote: bool, options: list[str], message: str
) -> None:
    result = run("classify", photo, *options, *(["--server", server] if remote else []))
    assert (result.code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("remote", [False, True])
def test_a_file_that_is_not_an_image_is_reported_in_one_line(
    run: Run, tmp_path: Path, server: str, remote: bool
) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    result = run("classify", tmp_path / "text.jpg", *(["--server", server] if remote else []))
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


def test_an_unreachable_service_is_reported_in_one_line(run: Run, photo: Path) -> None:
    result = run("classify", photo, "--server", "127.0.0.1:1")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("zfscope: unavailable: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["classify", "project"])
def test_a_missing_photo_is_reported_in_one_line(run: Run, command: str) -> None:
    result = run(command, "nowhere.jpg")
    line = "zfscope: 'nowhere.jpg' cannot be read: No such file or directory\n"
    assert (result.code, result.stdout, result.stderr) == (2, "", line)


@pytest.fixture
def animation(tmp_path: Path) -> Path:
    """A GIF of two frames."""
    frames = [Image.new("RGB", (60, 48), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    return tmp_path / "two.gif"


@pytest.mark.parametrize("command", [["classify"], ["project", "--top", "1"], ["analyze", "project"]])
def test_a_warning_about_a_photo_is_one_line_on_stderr(
    run: Run, animation: Path, tmp_path: Path, command: list[str]
) -> None:
    out = [] if command == ["classify"] else ["--out", str(tmp_path / "out")]
    result = run(*command, animation, *out)
    field = "images[0].encoded" if command[0] == "analyze" else "image.encoded"
    assert result.code == 0
    assert result.stderr.splitlines() == [
        f"zfscope: warning: {field}: the GIF file has several frames or pages, and the first was used; "
        "to use another one, save it as a separate file"
    ]


@pytest.mark.parametrize("command", [["classify"], ["project", "--top", "1"], ["analyze", "project"]])
def test_a_warning_about_a_photo_is_part_of_the_json_output(
    run: Run, animation: Path, tmp_path: Path, server: str, command: list[str]
) -> None:
    out = [] if command == ["classify"] else ["--out", str(tmp_path / "out")]
    local, remote = (
        run(*command, animation, "--json", *out, *options) for options in ([], ["--server", server])
    )
    (warning,) = json.loads(local.stdout)["warnings"]
    assert warning["code"] == "first-frame"
    assert json.loads(remote.stdout)["warnings"] == [warning]
    assert (local.stderr, remote.stderr) == ("", "")
