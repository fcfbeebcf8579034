"""`zfscope compare`, in process and against a service."""

import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from zfscope.cli.compare import MAX_PHOTOS, select_photos
from zfscope.datasets.skipped_files import describe_skipped
from zfscope.errors import InputError

Run = Callable[..., Any]


@pytest.mark.parametrize("remote", [False, True])
def test_json_output_has_a_column_per_model_and_the_picture(
    run: Run, photo: Path, server: str, tmp_path: Path, remote: bool
) -> None:
    location = ["--server", server] if remote else []
    command = ["compare", photo, "--models", "tiny:1,tiny", "--out", tmp_path / "out", "--json", *location]
    answer = json.loads(run(*command).stdout)
    assert answer["files"] == [str(tmp_path / "out" / "architectures.png")]
    row = answer["tables"]["architectures"][0]
    assert {"measure", "tiny 1", "tiny 2"} == set(row)


def test_text_output_is_a_table(run: Run, photo: Path, tmp_path: Path) -> None:
    text = run("compare", photo, "--models", "tiny:1,tiny:2", "--out", tmp_path).stdout
    assert "Architectures compared" in text
    assert str(tmp_path / "architectures.png") in text.replace("\n", "")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("tiny", "others is \\(?\\[?.*at least 1 item"),
        ("tiny:one,tiny", "use NAME or NAME:VERSION"),
        ("tiny,nobody", "model 'nobody' not found"),
    ],
)
def test_an_invalid_list_of_models_is_reported_in_one_line(
    run: Run, photo: Path, models: str, message: str
) -> None:
    result = run("compare", photo, "--models", models)
    assert result.code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert re.search(message, result.stderr)


def write_photos(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (40, 40), (number, 99, 0)).save(folder / f"{number:02}.png")
    return folder


def test_evenly_spaced_photos_of_a_folder_are_used(tmp_path: Path, photo: Path) -> None:
    folder = write_photos(tmp_path / "data", 40)
    (folder / "notes.txt").touch()
    selection = select_photos([folder, photo])
    assert len(selection.photos) == MAX_PHOTOS + 1
    assert selection.photos[:3] == [(folder / name).read_bytes() for name in ("00.png", "02.png", "05.png")]
    assert selection.photos[-1] == photo.read_bytes()
    assert describe_skipped(selection.skipped_files) == "1 file that is not an image (.txt)"


def test_duplicates_and_similar_class_names_are_reported(run: Run, tmp_path: Path) -> None:
    for label in ("Cat", "cat", "dog"):
        write_photos(tmp_path / "data" / label, 1)
    result = run("compare", tmp_path / "data", "--models", "tiny:1,tiny:2", "--out", tmp_path / "o")
    assert result.code == 0
    assert "warning: classes 'Cat', 'cat' differ only in case, spaces or" in result.stderr
    assert "warning: 2 of 3 photos are duplicates\n" in result.stderr


def test_comparisons_with_another_model_are_kept(
    run: Run, write: Callable[..., Path], photo: Path, tmp_path: Path
) -> None:
    for name in "abc":
        write(tmp_path / "models", 1, name)
    common = [photo, "--store", tmp_path / "models", "--json", "--out"]
    names = list[str]()
    for other in "bcb":
        for command in (
            ["compare", *common, tmp_path / "compared", "--models", f"a,{other}"],
            ["analyze", "compare-architectures", *common, tmp_path / "o", "--model", "a", "--others", other],
        ):
            result = run(*command)
            assert result.code == 0, result.stderr
            names += [Path(file).name for file in json.loads(result.stdout)["files"]]
    first = ["architectures.png", "blobs-architectures.png"]
    assert names == [*first, "a-v1-c_1-architectures.png", "blobs-a-v1-c-architectures.png", *first]


def test_a_broken_photo_of_a_folder_is_replaced_by_the_next_one(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "data", 40)
    for name in ("00.png", "02.png", "03.png", "04.png"):
        (folder / name).write_bytes(b"broken")
    selection = select_photos([folder])
    assert selection.photos[:2] == [(folder / name).read_bytes() for name in ("01.png", "05.png")]
    assert len(selection.photos) == MAX_PHOTOS - 1
    assert [skipped.name for skipped in selection.skipped] == ["00.png", "02.png", "03.png", "04.png"]


def test_a_tar_and_a_list_select_the_same_photos_as_the_folder(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "data", 3)
    with tarfile.open(tmp_path / "x.tar", "w") as packed:
        packed.add(folder, "data")
    (tmp_path / "list.txt").write_text("".join(f"data/{number:02}.png\n" for number in range(3)))
    expected = select_photos([folder]).photos
    assert select_photos([tmp_path / "x.tar"]).photos == expected
    assert select_photos([tmp_path / "list.txt"]).photos == expected


def test_a_folder_of_broken_photos_is_rejected_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    message = r"no usable photo among 1 in '.*'; first: 'a\.jpg': the file is empty: 0 bytes"
    with pytest.raises(InputError, match=message):
        select_photos([tmp_path])


def test_a_folder_without_photos_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"contains no photos \(.*\); skipped: 1 file that is not"):
        select_photos([tmp_path])


def test_a_broken_photo_passed_by_name_is_rejected(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.jpg' is empty: 0 bytes") as refusal:
        select_photos([photo, tmp_path / "a.jpg"])
    assert refusal.value.field == "photos"


def test_used_skipped_and_ignored_files_are_counted(run: Run, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "data", 3)
    (folder / "01.png").write_bytes(b"")
    (folder / "._02.png").write_bytes(b"")
    command = ["compare", folder, "--models", "tiny:1,tiny:2", "--out", tmp_path / "out"]
    answer = json.loads(run(*command, "--json").stdout)
    assert (answer["images"], answer["skipped"], answer["passed_over"]) == (2, 1, {"hidden": 1})
    assert answer["skipped_photos"] == [{"path": "01.png", "reason": "the file is empty: 0 bytes"}]
    skipped = "1 could not be used ('01.png': the file is empty: 0 bytes)"
    assert f"Compared on 2 photos; {skipped}; skipped: 1 hidden file or folder" in run(*command).stdout
