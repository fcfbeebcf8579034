"""Photos are decoded once, and again after any change."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.conftest import Decode, Recorder, write_photos
from zfscope.datasets import dataset
from zfscope.errors import CannotWrite, InputError
from zfscope.images.decode import decode
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.training import record
from zfscope.training.decoded import cached_photos
from zfscope.training.labelled import read_folder


def square_of(path: Path, preprocessing: Preprocessing) -> np.ndarray:
    uncropped = preprocessing.model_copy(update={"crop": preprocessing.centre})
    return prepare(decode(path.read_bytes()), uncropped).views[0]


def test_squares_match_the_preprocessing_and_are_decoded_once(
    decoded: Decode, folder: Path, preprocessing: Preprocessing, recorder: Recorder
) -> None:
    photos = decoded()
    assert recorder.decoded == 16
    np.testing.assert_array_equal(photos.squares[11], square_of(folder / "red" / "3.png", preprocessing))
    repeated = decoded()
    np.testing.assert_array_equal(repeated.squares, photos.squares)
    assert (recorder.decoded, recorder.warnings) == (16, [])
    assert repeated.record.fingerprint == photos.record.fingerprint


def test_another_folder_is_decoded_again(folder: Path, preprocessing: Preprocessing, tmp_path: Path) -> None:
    cached_photos(read_folder(folder), preprocessing, tmp_path / "pixels")
    other = read_folder(write_photos(tmp_path / "other", count=3))
    assert len(cached_photos(other, preprocessing, tmp_path / "pixels").squares) == 6


def test_photos_are_decoded_again_for_another_preprocessing(
    folder: Path, preprocessing: Preprocessing, tmp_path: Path
) -> None:
    cached_photos(read_folder(folder), preprocessing, tmp_path / "pixels")
    larger = preprocessing.model_copy(update={"short_side": 40})
    result = cached_photos(read_folder(folder), larger, tmp_path / "pixels").squares[0]
    np.testing.assert_array_equal(result, square_of(folder / "blue" / "0.png", larger))


def test_photos_are_decoded_again_for_another_interpolation(
    folder: Path, preprocessing: Preprocessing, tmp_path: Path, recorder: Recorder
) -> None:
    bicubic = preprocessing.model_copy(update={"interpolation": "bicubic"})
    for steps in (preprocessing, bicubic, bicubic):
        photos = cached_photos(read_folder(folder), steps, tmp_path / "pixels", advance=recorder.advance)
        np.testing.assert_array_equal(photos.squares[11], square_of(folder / "red" / "3.png", steps))
    assert recorder.decoded == 32


def test_a_record_without_an_interpolation_is_of_bilinear_squares(decoded: Decode) -> None:
    assert "interpolation" not in decoded().record.settings


def test_an_unusable_photo_is_skipped_with_its_name_and_the_reason(
    decoded: Decode, folder: Path, preprocessing: Preprocessing
) -> None:
    (folder / "blue" / "2.png").write_bytes(b"no image")
    (folder / "red" / "0.png").write_bytes(b"")
    photos = decoded()
    assert photos.targets.tolist() == [0] * 7 + [1] * 7
    assert [skipped.name for skipped in photos.skipped] == ["blue/2.png", "red/0.png"]
    assert photos.skipped[1].reason == "the file is empty: 0 bytes"
    np.testing.assert_array_equal(photos.squares[2], square_of(folder / "blue" / "3.png", preprocessing))
    np.testing.assert_array_equal(photos.squares[7], square_of(folder / "red" / "1.png", preprocessing))


def test_a_data_set_without_usable_photos_is_rejected(folder: Path, decoded: Decode, tmp_path: Path) -> None:
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"none of the 16 photos in '.*' can be used; 'blue/0\.png': "):
        decoded()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_an_unwritable_file_of_pixels_is_reported_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("not a folder")
    with pytest.raises(CannotWrite, match=r"out/pixels' cannot be written: Not a directory"):
        cached_photos(read_folder(folder), Preprocessing(), tmp_path / "out" / "pixels")


def test_a_truncated_file_of_pixels_is_rewritten(decoded: Decode, tmp_path: Path, recorder: Recorder) -> None:
    intact = np.array(decoded().squares)
    with (tmp_path / "run.pixels").open("r+b") as file:
        file.truncate(100)
    np.testing.assert_array_equal(decoded().squares, intact)
    assert recorder.decoded == 32


@pytest.mark.parametrize("run_started", [False, True])
@pytest.mark.parametrize("damage", ["zeroed", "one byte"])
def test_a_file_of_pixels_with_other_contents_is_rewritten(
    decoded: Decode, tmp_path: Path, recorder: Recorder, damage: str, *, run_started: bool
) -> None:
    intact, file = np.array(decoded().squares), tmp_path / "run.pixels"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(len(data)) if damage == "zeroed" else data)
    np.testing.assert_array_equal(decoded(run_started=run_started).squares, intact)
    message = f"'{file}' is damaged: its checksum differs from the recorded one; decoding all photos again"
    assert (recorder.decoded, recorder.warnings) == (32, [message])
    decoded(run_started=run_started)
    assert recorder.decoded == 32


def test_a_record_of_an_earlier_version_gets_the_checksum_of_its_pixels(
    decoded: Decode, tmp_path: Path, recorder: Recorder
) -> None:
    path = tmp_path / "run.parquet"
    settings = decoded().record.settings
    new = record.read_record(path, settings)
    assert new
    record.write_record(path, dataclasses.replace(new, checksum=None))
    decoded(run_started=True)
    repeated = record.read_record(path, settings)
    assert repeated
    assert (repeated.checksum, recorder.decoded) == (new.checksum, 16)


def replace_photo(path: Path, other: Path) -> None:
    """Replace a photo by another of the same size in bytes; keep its timestamps."""
    before, data = path.stat(), other.read_bytes()
    size = max(before.st_size, len(data))
    path.write_bytes(data.ljust(size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def pad_to_same_size(folder: Path) -> tuple[Path, Path]:
    """Return two photos of equal size in bytes: padded at the end, which decoders ignore."""
    first, second = folder / "blue" / "1.png", folder / "red" / "1.png"
    size = max(first.stat().st_size, second.stat().st_size)
    for path in (first, second):
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    return first, second


# Changes of the photos, and how each is reported.
CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (
        lambda folder: (folder / "red" / "3.png").rename(folder / "blue" / "33.png"),
        "1 moved ('red/3.png' to 'blue/33.png')",
    ),
    (
        lambda folder: (folder / "red" / "3.png").rename(folder / "red" / "renamed.png"),
        "1 moved ('red/3.png' to 'red/renamed.png')",
    ),
    (lambda folder: shutil.copy(folder / "red" / "3.png", folder / "red" / "8.png"), "1 added ('red/8.png')"),
    (lambda folder: (folder / "red" / "3.png").unlink(), "1 removed ('red/3.png')"),
    (
        lambda folder: replace_photo(folder / "blue" / "1.png", folder / "red" / "1.png"),
        "1 changed ('blue/1.png')",
    ),
    (
        lambda folder: (
            (folder / "blue" / "0.png").rename(folder / "x"),
            (folder / "red" / "0.png").rename(folder / "blue" / "0.png"),
            (folder / "x").rename(folder / "red" / "0.png"),
        ),
        "2 changed ('blue/0.png', 'red/0.png')",
    ),
    (lambda folder: (folder / "red" / "3.png").write_bytes(b"broken"), "1 changed ('red/3.png')"),
]


@pytest.mark.parametrize("fresh", [True, False], ids=["just now", "long ago"])
@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_any_change_makes_all_photos_be_decoded_again(
    decoded: Decode,
    folder: Path,
    preprocessing: Preprocessing,
    recorder: Recorder,
    change: Callable[[Path], object],
    message: str,
    fresh: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not fresh:  # timestamps are trusted
        monkeypatch.setattr(dataset, "_TIMESTAMP_RESOLUTION_NS", 0)
    pad_to_same_size(folder)
    decoded()
    change(folder)
    photos = decoded()
    assert recorder.warnings == [
        f"photos or limits changed since decoding: {message}; decoding all photos again"
    ]
    used = [path for path in sorted(folder.rglob("*.png")) if path.read_bytes() != b"broken"]
    assert photos.targets.tolist() == [("blue", "red").index(path.parent.name) for path in used]
    for path, square in zip(used, photos.squares, strict=True):
        np.testing.assert_array_equal(square, square_of(path, preprocessing))


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_any_change_after_the_start_of_a_run_is_rejected(
    decoded: Decode, folder: Path, change: Callable[[Path], object], message: str
) -> None:
    pad_to_same_size(folder)
    decoded()
    change(folder)
    with pytest.raises(InputError) as caught:
        decoded(run_started=True)
    assert (
        f"holds a run with other photos; since it started: {message}; restore them to" in caught.value.message
    )
    assert caught.value.field == "out"


def test_restored_photos_are_recognised(decoded: Decode, folder: Path, recorder: Recorder) -> None:
    decoded()
    (folder / "red" / "3.png").rename(folder / "blue" / "9.png")
    (folder / "blue" / "9.png").rename(folder / "red" / "3.png")
    shutil.copytree(folder, folder.with_name("copy"))  # another inode and other times for all
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)
    decoded(run_started=True)
    assert (recorder.decoded, recorder.warnings) == (16, [])


def test_photos_with_the_same_stamps_are_not_read_again(
    decoded: Decode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "_TIMESTAMP_RESOLUTION_NS", 0)
    decoded()

    def never(photo: object) -> bytes:
        raise AssertionError(f"{photo} was read")

    monkeypatch.setattr(record, "read_photo", never)
    decoded()


def test_photos_found_unchanged_are_not_read_a_second_time(
    decoded: Decode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "_TIMESTAMP_RESOLUTION_NS", 0)
    decoded()
    for path in folder.rglob("*.png"):
        path.touch()
    read = list[object]()
    real = record.read_photo
    monkeypatch.setattr(record, "read_photo", lambda photo: (read.append(photo), real(photo))[1])
    decoded()
    assert len(read) == 16
    decoded()
    assert len(read) == 16


def test_another_class_in_a_list_is_a_change(
    folder: Path, preprocessing: Preprocessing, tmp_path: Path, recorder: Recorder
) -> None:
    list_file = folder / "list.txt"
    lines = [f"{path.relative_to(folder)}\t{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
    list_file.write_text("\n".join(lines))
    cached_photos(read_folder(list_file), preprocessing, tmp_path / "pixels")
    list_file.write_text("\n".join([*lines[:-1], "red/7.png\tblue"]))
    photos = read_folder(list_file)
    result = cached_photos(photos, preprocessing, tmp_path / "pixels", warn=recorder.warnings.append)
    assert "1 moved ('red/7.png' from class 'red' to 'blue')" in recorder.warnings[0]
    assert result.targets.tolist() == [0] * 9 + [1] * 7


def test_an_unreadable_record_is_recreated(decoded: Decode, tmp_path: Path, recorder: Recorder) -> None:
    decoded()
    (tmp_path / "run.parquet").write_bytes(b"damaged")
    decoded()
    assert recorder.decoded == 32


def test_grey_photos_become_rgb(folder: Path, decoded: Decode) -> None:
    Image.new("L", (40, 40), 77).save(folder / "red" / "zz-grey.png")
    assert (decoded().squares[-1] == 77).all()
