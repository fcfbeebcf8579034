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


@pytest.mark.parametrize("there", [False, True])
def test_models_are_put_side_by_side(run: Run, photo: Path, server: str, tmp_path: Path, there: bool) -> None:
    where = ["--server", server] if there else []
    words = ["compare", photo, "--models", "tiny:1,tiny", "--out", tmp_path / "out", "--json", *where]
    answer = json.loads(run(*words).stdout)
    assert answer["files"] == [str(tmp_path / "out" / "architectures.png")]
    row = answer["tables"]["architectures"][0]
    assert {"measure", "tiny 1", "tiny 2"} == set(row)


def test_a_person_gets_a_table(run: Run, photo: Path, tmp_path: Path) -> None:
    text = run("compare", photo, "--models", "tiny:1,tiny:2", "--out", tmp_path).stdout
    assert "Architectures compared" in text
    assert str(tmp_path / "architectures.png") in text.replace("\n", "")


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ("tiny", "others is \\(?\\[?.*at least 1 item"),
        ("tiny:one,tiny", "use NAME or NAME:VERSION"),
        ("tiny,nobody", "model 'nobody' not found"),
    ],
)
def test_what_does_not_compare_is_said_in_one_line(run: Run, photo: Path, models: str, told: str) -> None:
    result = run("compare", photo, "--models", models)
    assert result.code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert re.search(told, result.stderr)


def write_photos(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (40, 40), (number, 99, 0)).save(folder / f"{number:02}.png")
    return folder


def test_of_a_folder_some_photos_are_taken_evenly_spaced(tmp_path: Path, photo: Path) -> None:
    folder = write_photos(tmp_path / "data", 40)
    (folder / "notes.txt").touch()
    found = select_photos([folder, photo])
    assert len(found.photos) == MAX_PHOTOS + 1
    assert found.photos[:3] == [(folder / name).read_bytes() for name in ("00.png", "02.png", "05.png")]
    assert found.photos[-1] == photo.read_bytes()
    assert describe_skipped(found.skipped_files) == "1 file that is not an image (.txt)"


def test_repeats_and_classes_that_look_the_same_are_said(run: Run, tmp_path: Path) -> None:
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
    always = [photo, "--store", tmp_path / "models", "--json", "--out"]
    names = list[str]()
    for other in "bcb":
        for words in (
            ["compare", *always, tmp_path / "compared", "--models", f"a,{other}"],
            ["analyze", "compare-architectures", *always, tmp_path / "o", "--model", "a", "--others", other],
        ):
            result = run(*words)
            assert result.code == 0, result.stderr
            names += [Path(file).name for file in json.loads(result.stdout)["files"]]
    first = ["architectures.png", "blots-architectures.png"]
    assert names == [*first, "a-v1-c_1-architectures.png", "blots-a-v1-c-architectures.png", *first]


def test_in_place_of_a_broken_photo_of_a_folder_the_next_is_taken(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "data", 40)
    for name in ("00.png", "02.png", "03.png", "04.png"):
        (folder / name).write_bytes(b"broken")
    found = select_photos([folder])
    assert found.photos[:2] == [(folder / name).read_bytes() for name in ("01.png", "05.png")]
    assert len(found.photos) == MAX_PHOTOS - 1
    assert [skipped.name for skipped in found.skipped] == ["00.png", "02.png", "03.png", "04.png"]


def test_a_tar_and_a_list_are_data_sets(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "data", 3)
    with tarfile.open(tmp_path / "x.tar", "w") as packed:
        packed.add(folder, "data")
    (tmp_path / "list.txt").write_text("".join(f"data/{number:02}.png\n" for number in range(3)))
    expected = select_photos([folder]).photos
    assert select_photos([tmp_path / "x.tar"]).photos == expected
    assert select_photos([tmp_path / "list.txt"]).photos == expected


def test_a_folder_of_broken_photos_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    words = r"no usable photo among 1 in '.*'; first: 'a\.jpg': the file is empty: 0 bytes"
    with pytest.raises(InputError, match=words):
        select_photos([tmp_path])


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"contains no photos \(.*\); skipped: 1 file that is not"):
        select_photos([tmp_path])


def test_a_broken_photo_that_was_named_is_refused_by_its_name(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.jpg' is empty: 0 bytes") as caught:
        select_photos([photo, tmp_path / "a.jpg"])
    assert caught.value.field == "photos"


def test_what_was_used_and_what_not_is_counted(run: Run, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "data", 3)
    (folder / "01.png").write_bytes(b"")
    (folder / "._02.png").write_bytes(b"")
    words = ["compare", folder, "--models", "tiny:1,tiny:2", "--out", tmp_path / "out"]
    answer = json.loads(run(*words, "--json").stdout)
    assert (answer["images"], answer["skipped"], answer["passed_over"]) == (2, 1, {"hidden": 1})
    assert answer["skipped_photos"] == [{"path": "01.png", "reason": "the file is empty: 0 bytes"}]
    skipped = "1 could not be used ('01.png': the file is empty: 0 bytes)"
    assert f"Compared on 2 photos; {skipped}; skipped: 1 hidden file or folder" in run(*words).stdout
