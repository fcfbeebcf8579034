"""Photos on the command line: files, folders, standard input."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from zfscope.cli.photos import expand_photos, is_single_photo, read_photo
from zfscope.cli.schema import file_as_base64, json_or_file
from zfscope.errors import InputError, TooLarge
from zfscope.images.limits import DecodeLimits

Run = Callable[..., Any]


class Stdin:
    """Standard input that contains given bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.fixture
def folder(tmp_path: Path, photo: Path) -> Path:
    """A folder with two photos, one of them in a subfolder, and a text file."""
    root = tmp_path / "many"
    (root / "deep").mkdir(parents=True)
    Image.open(photo).rotate(90).save(root / "b.png")
    (root / "deep" / "a.png").write_bytes(photo.read_bytes())
    (root / "notes.txt").write_text("not a photo")
    return root


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.jpg"
    path.write_text("not a photo")
    return path


def test_a_folder_expands_to_its_photos_in_order(folder: Path) -> None:
    assert expand_photos([Path("x.jpg"), folder]) == [
        Path("x.jpg"),
        folder / "b.png",
        folder / "deep" / "a.png",
    ]
    assert is_single_photo([Path("x.jpg")])
    assert is_single_photo([Path("-")])
    assert not is_single_photo([folder])
    assert not is_single_photo([Path("a"), Path("b")])


def test_a_folder_without_photos_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no photos"):
        expand_photos([tmp_path])


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("https://example.org/a.jpg", "https://example.org/a.jpg"),
        ("s3://bucket/a.jpg", "s3://bucket/a.jpg"),
        ("HTTP://example.org", "HTTP://example.org"),
    ],
)
def test_a_url_is_rejected_with_advice(path: str, url: str) -> None:
    with pytest.raises(InputError, match=f"^'{url}' is a URL, .* curl -sSL URL | zfscope ... -$") as refusal:
        read_photo(Path(path))
    assert refusal.value.field == "photo"


@pytest.mark.parametrize(
    ("url", "file"),
    [("file:///tmp/x.jpg", "/tmp/x.jpg"), ("file://localhost/tmp/a%20b.jpg", "/tmp/a b.jpg")],
)
def test_a_file_url_is_rejected_with_the_path_to_use(url: str, file: str) -> None:
    with pytest.raises(InputError) as refusal:
        read_photo(Path(url))
    shown = url.replace("localhost", "")
    assert str(refusal.value) == f"'{shown}' is a URL; photos must be files: pass {file}"
    assert refusal.value.field == "photo"


@pytest.mark.parametrize("command", [["classify"], ["project"], ["analyze", "project"]])
def test_ignored_files_of_a_folder_are_reported(
    run: Run, folder: Path, tmp_path: Path, command: list[str]
) -> None:
    (folder / ".hidden.png").write_bytes(b"")
    options = [] if command == ["classify"] else ["--top", 1, "--out", tmp_path / "out"]
    result = run(*command, folder, *options, "--json")
    message = "skipped: 1 hidden file or folder, 1 file that is not an image (.txt)"
    assert result.stderr.splitlines() == [f"zfscope: {folder}: {message}"]
    assert len(result.stdout.splitlines()) == 2


def test_a_file_name_may_contain_a_colon(tmp_path: Path) -> None:
    path = tmp_path / "a:b.jpg"
    path.write_bytes(b"data")
    assert read_photo(path) == b"data"


def test_standard_input_is_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(b"data"))
    assert read_photo(Path("-")) == b"data"
    with pytest.raises(InputError, match="standard input is empty; - reads one image file from it"):
        read_photo(Path("-"))
    with pytest.raises(InputError, match="- is given more than once"):
        expand_photos([Path("-"), Path("a.jpg"), Path("-")])


def test_reading_endless_standard_input_stops_at_the_limit() -> None:
    code = "from pathlib import Path; from zfscope.cli.photos import read_photo; read_photo(Path('-'))"
    with Path("/dev/zero").open("rb") as zeros:
        process = subprocess.run([sys.executable, "-c", code], stdin=zeros, capture_output=True, check=False)
    message = f"TooLarge: standard input is larger than {DecodeLimits.bytes:,} bytes, the limit"
    assert message.encode() in process.stderr


def test_reading_endless_and_huge_files_stops_at_the_limit(tmp_path: Path) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(3 * 2**30)
    for path in (huge, Path("/dev/zero")):
        with pytest.raises(
            TooLarge, match=f"^'{path}' is larger than {DecodeLimits.bytes:,} bytes, the limit"
        ) as refusal:
            read_photo(path)
        assert refusal.value.field == "photo"
        with pytest.raises(TooLarge, match=f"^'{path}' is larger than {DecodeLimits.bytes:,} bytes"):
            file_as_base64(str(path))
        with pytest.raises(TooLarge, match=f"^'{path}' is larger than {DecodeLimits.bytes:,} bytes"):
            json_or_file(f"@{path}")


def test_a_named_pipe_is_rejected_and_a_shell_pipe_is_read(tmp_path: Path, photo: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match=r"pipe.jpg' is a named pipe; pass an image file"):
        read_photo(tmp_path / "pipe.jpg")
    reader, writer = os.pipe()
    os.write(writer, b"data")
    os.close(writer)
    try:
        assert read_photo(Path(f"/dev/fd/{reader}")) == b"data"
    finally:
        os.close(reader)


def test_closed_standard_input_is_reported(command: Path, environment: dict[str, str]) -> None:
    process = subprocess.run(
        ["sh", "-c", '"$0" classify - <&-', command], env=environment, capture_output=True, check=False
    )
    assert process.returncode == 2
    assert process.stderr == b"zfscope: standard input is closed; - reads one image file from it\n"


def test_text_output_has_a_row_per_photo(run: Run, photo: Path, folder: Path) -> None:
    result = run("classify", photo, folder)
    assert result.code == 0
    assert "3 photos, by tiny version 2" in result.stdout
    for path in (photo, folder / "b.png", folder / "deep" / "a.png"):
        assert str(path) in result.stdout.replace("\n", "")


@pytest.mark.parametrize("remote", [False, True])
def test_json_output_is_one_object_per_line_for_several_photos(
    run: Run, photo: Path, folder: Path, server: str, remote: bool
) -> None:
    location = ["--server", server] if remote else []
    single = json.loads(run("classify", photo, "--json", *location).stdout)
    lines = run("classify", folder, photo, "--json", *location).stdout.splitlines()
    answers = [json.loads(line) for line in lines]
    assert [answer.pop("file") for answer in answers] == [
        str(path) for path in (folder / "b.png", folder / "deep" / "a.png", photo)
    ]
    for answer in answers[1:]:  # the same photo twice
        assert answer == single
    assert answers[0] != single


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("command", [["classify"], ["project"], ["analyze", "project"]])
def test_an_unusable_photo_does_not_affect_the_others(
    run: Run, photo: Path, broken: Path, server: str, tmp_path: Path, command: list[str], remote: bool
) -> None:
    location: list[object] = ["--server", server] if remote else []
    options = [] if command == ["classify"] else ["--top", 1, "--out", tmp_path / "out"]
    result = run(*command, broken, "missing.jpg", photo, *options, "--json", *location)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.code == 2
    assert [answer["file"] for answer in answers] == [str(broken), "missing.jpg", str(photo)]
    assert "error" in answers[0]
    assert answers[1]["error"] == "'missing.jpg' cannot be read: No such file or directory"
    assert answers[2]["model"] == "tiny"
    errors = result.stderr.splitlines()
    assert len(errors) == 2
    assert errors[0].startswith(f"zfscope: {broken}: ")


def test_text_output_still_has_the_rows_of_the_usable_photos(run: Run, photo: Path, broken: Path) -> None:
    result = run("classify", broken, photo)
    assert result.code == 2
    assert "1 photo, by tiny version 2" in result.stdout
    assert result.stderr.startswith(f"zfscope: {broken}: ")


def test_an_error_that_affects_all_photos_is_reported_once(run: Run, photo: Path, folder: Path) -> None:
    (folder / "notes.txt").unlink()
    result = run("project", photo, folder, "--layer", "conv9")
    assert (result.code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    result = run("classify", photo, folder, "--model", "none")
    assert (result.code, len(result.stderr.splitlines())) == (2, 1)


def test_a_photo_can_be_read_from_standard_input(
    environment: dict[str, str], photo: Path, tmp_path: Path, command: Path
) -> None:
    for arguments in (["classify"], ["project", "--top", "1", "--out", str(tmp_path / "out")]):
        process = subprocess.run(
            [command, arguments[0], "-", *arguments[1:], "--json"],
            input=photo.read_bytes(),
            env=environment,
            capture_output=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        assert json.loads(process.stdout)["model"] == "tiny"
    assert (tmp_path / "out" / "stdin-conv5.png").exists()
