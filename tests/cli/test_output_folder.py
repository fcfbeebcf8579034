"""The output folder: results are kept apart and written completely or not at all."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from zfscope.cli.output_folder import LEDGER, Subject, layer_subject, open_output, photos_subject
from zfscope.errors import CannotWrite

Run = Callable[..., Any]
CHINA = Subject("china", ("/photos/china.jpg",))


def write(root: Path, subject: Subject | None, **contents: str) -> dict[str, str]:
    with open_output(root) as folder:
        written = folder.write(
            subject or Subject("", ()), {f"{name}.png": data.encode() for name, data in contents.items()}
        )
    return {name: path.name for name, path in written.items()}


def visible_files(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in root.glob("[!.]*")}


def test_file_names_start_with_the_subject(tmp_path: Path) -> None:
    assert write(tmp_path, CHINA, conv5="a") == {"conv5.png": "china-conv5.png"}
    assert write(tmp_path, None, architectures="b") == {"architectures.png": "architectures.png"}
    assert visible_files(tmp_path) == {"china-conv5.png": "a", "architectures.png": "b"}


def test_a_result_replaces_the_files_of_the_previous_one_only(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("mine")
    write(tmp_path, CHINA, conv5="a", one="b", two="c")
    write(tmp_path, CHINA, conv4="d")
    write(tmp_path, CHINA, conv5="e", three="f")
    assert visible_files(tmp_path) == {
        "notes.png": "mine",
        "china-conv4.png": "d",
        "china-conv5.png": "e",
        "china-three.png": "f",
    }


def test_a_file_modified_by_the_user_is_kept(tmp_path: Path) -> None:
    write(tmp_path, CHINA, conv5="a", one="b")
    (tmp_path / "china-one.png").write_text("edited")
    write(tmp_path, CHINA, conv5="c")
    assert visible_files(tmp_path) == {"china-conv5.png": "c", "china-one.png": "edited"}


def test_a_second_subject_with_the_same_name_gets_a_stable_number(tmp_path: Path) -> None:
    other, third = Subject("China", ("/elsewhere/China.png",)), Subject("china", ("/third/china.jpg",))
    write(tmp_path, CHINA, conv5="a")
    assert write(tmp_path, other, conv4="b") == {"conv4.png": "China-2-conv4.png"}
    assert write(tmp_path, third, conv5="c") == {"conv5.png": "china-3-conv5.png"}
    assert write(tmp_path, other, conv4="d") == {"conv4.png": "China-2-conv4.png"}
    assert len(visible_files(tmp_path)) == 3


def test_results_of_another_model_are_kept_under_its_name(tmp_path: Path) -> None:
    def of(stem: str, source: str, *models: str) -> Subject:
        return Subject(stem, (source,), models)

    assert write(tmp_path, of("a", "1", "zf-v1"), conv5="a") == {"conv5.png": "a-conv5.png"}
    assert write(tmp_path, of("a", "1", "alex-v1"), conv5="b") == {"conv5.png": "a-alex-v1-conv5.png"}
    assert write(tmp_path, of("a", "1", "alex-v2"), conv5="c") == {"conv5.png": "a-alex-v2-conv5.png"}
    assert write(tmp_path, of("a", "1", "zf-v1"), conv5="d") == {"conv5.png": "a-conv5.png"}
    assert write(tmp_path, of("a", "1", "alex-v1"), conv4="e") == {"conv4.png": "a-alex-v1-conv4.png"}
    assert write(tmp_path, of("a", "2", "alex-v1"), conv5="f") == {"conv5.png": "a-2-conv5.png"}
    assert write(tmp_path, of("a", "2", "zf-v1"), conv5="g") == {"conv5.png": "a-2-zf-v1-conv5.png"}
    # A photo named like another photo plus its model gets distinct file names.
    assert write(tmp_path, of("b-zf-v1", "3", "zf-v1"), conv5="h") == {"conv5.png": "b-zf-v1-conv5.png"}
    assert write(tmp_path, of("b", "4", "alex-v1"), conv5="i") == {"conv5.png": "b-conv5.png"}
    assert write(tmp_path, of("b", "4", "zf-v1"), conv5="j") == {"conv5.png": "b-2-conv5.png"}
    assert sorted(visible_files(tmp_path).values()) == list("bcdefghij")


def test_comparisons_of_other_models_are_kept_under_their_names(tmp_path: Path) -> None:
    for models in (("a", "b"), ("a", "c model"), ("a", "b")):
        last = write(tmp_path, Subject("", (), models), grids="-".join(models))
    assert last == {"grids.png": "grids.png"}
    assert visible_files(tmp_path) == {"grids.png": "a-b", "a-c_model-grids.png": "a-c model"}


def test_a_failure_leaves_the_previous_result_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, CHINA, conv5="a", one="b")
    original = Path.open

    def full(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.parent.parent == tmp_path and len(list(path.parent.iterdir())) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(CannotWrite, match="No space left on device"):
        write(tmp_path, CHINA, conv5="c", two="d")
    assert visible_files(tmp_path) == {"china-conv5.png": "a", "china-one.png": "b"}
    assert {path.name for path in tmp_path.glob(".*")} == {LEDGER, ".zfscope.lock"}


def test_a_full_disk_leaves_no_partial_result(small_disk: Path) -> None:
    with pytest.raises(CannotWrite, match="No space left on device; free some space there"):
        write(small_disk / "out", CHINA, conv5="a", one="b" * (2 << 20))
    assert list(small_disk.iterdir()) == []


def test_a_created_folder_is_removed_if_nothing_was_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such layer"), open_output(tmp_path / "deep" / "out"):
        raise ValueError("no such layer")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_reported_before_the_analysis(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="File exists"), open_output(tmp_path / "file"):
        pytest.fail("the block must not run")


def test_a_damaged_ledger_is_reported_before_the_analysis(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text("{")
    with pytest.raises(CannotWrite, match=r"is damaged .*; remove the file or write to another"):
        write(tmp_path, CHINA, conv5="a")
    assert visible_files(tmp_path) == {}


def test_subjects_are_distinguished_by_their_paths(tmp_path: Path) -> None:
    one, other = (photos_subject([tmp_path / name / "a.jpg"], [b""]) for name in ("x", "y"))
    assert one is not None
    assert other is not None
    assert (one.stem, other.stem) == ("a", "a")
    assert one.source != other.source
    assert photos_subject([], []) is None
    piped, other_piped = (photos_subject([Path("-")], [data]) for data in (b"a", b"b"))
    assert piped is not None
    assert other_piped is not None
    assert piped.stem == other_piped.stem == "stdin"
    assert piped.source != other_piped.source
    assert layer_subject("conv5").stem == "conv5"


def test_a_command_keeps_two_photos_with_the_same_name_apart(run: Run, photo: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / photo.name
    other.parent.mkdir()
    Image.open(photo).rotate(180).save(other)
    sheets = []
    for path, top in ((photo, 3), (other, 2), (photo, 1)):
        answer = json.loads(run("project", path, "--top", top, "--out", tmp_path / "out", "--json").stdout)
        sheets.append(Path(answer["sheet"]).name)
    assert sheets == ["blobs-conv5.png", "blobs-2-conv5.png", "blobs-conv5.png"]
    names = [path.name for path in (tmp_path / "out").glob("[!.]*")]
    assert sum(name.startswith("blobs-2-conv5-") for name in names) == 2
    assert sum(name.startswith("blobs-conv5-") for name in names) == 1


def test_several_commands_can_share_a_folder(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("project", photo, "--layer", "conv3", "--top", 1, "--out", out)
    run("analyze", "project", photo, "--layer", "conv4", "--top", 1, "--out", out)
    run("analyze", "occlude", photo, "--window", 16, "--stride", 16, "--out", out)
    names = {path.name for path in out.glob("[!.]*")}
    assert {"blobs-conv3.png", "blobs-conv4-sheet.png", "blobs-occlusion.png"} <= names
    assert len(names) == 5
