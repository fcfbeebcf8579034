"""Photos are decoded once, and again after any change."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.conftest import write_photos
from zfscope.datasets import dataset
from zfscope.errors import CannotWrite, InputError
from zfscope.images.decode import decode
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.training import record
from zfscope.training.decoded import DecodedPhotos, cached_photos
from zfscope.training.labelled import read_folder

Decode = Callable[..., DecodedPhotos]


class Seen:
    """Recorder of progress and warnings."""

    def __init__(self) -> None:
        self.decoded, self.warnings = 0, list[str]()

    def advance(self, count: int) -> None:
        self.decoded += count


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def decoded(folder: Path, preprocessing: Preprocessing, tmp_path: Path, seen: Seen) -> Decode:
    """Return the photos, decoded or from the cache."""

    def decode_folder(*, run_started: bool = False) -> DecodedPhotos:
        cache, warn = tmp_path / "run.pixels", seen.warnings.append
        photos = read_folder(folder)
        return cached_photos(
            photos, preprocessing, cache, run_started=run_started, advance=seen.advance, warn=warn
        )

    return decode_folder


def square_of(path: Path, preprocessing: Preprocessing) -> np.ndarray:
    whole = preprocessing.model_copy(update={"crop": preprocessing.centre})
    return prepare(decode(path.read_bytes()), whole).views[0]


def test_squares_match_the_preprocessing_and_are_decoded_once(
    decoded: Decode, folder: Path, preprocessing: Preprocessing, seen: Seen
) -> None:
    photos = decoded()
    assert seen.decoded == 16
    np.testing.assert_array_equal(photos.squares[11], square_of(folder / "red" / "3.png", preprocessing))
    again = decoded()
    np.testing.assert_array_equal(again.squares, photos.squares)
    assert (seen.decoded, seen.warnings) == (16, [])
    assert again.record.fingerprint == photos.record.fingerprint


def test_another_folder_is_decoded_again(folder: Path, preprocessing: Preprocessing, tmp_path: Path) -> None:
    cached_photos(read_folder(folder), preprocessing, tmp_path / "pixels")
    other = read_folder(write_photos(tmp_path / "other", count=3))
    assert len(cached_photos(other, preprocessing, tmp_path / "pixels").squares) == 6


def test_photos_are_decoded_again_for_another_preprocessing(
    folder: Path, preprocessing: Preprocessing, tmp_path: Path
) -> None:
    cached_photos(read_folder(folder), preprocessing, tmp_path / "pixels")
    larger = preprocessing.model_copy(update={"short_side": 40})
    found = cached_photos(read_folder(folder), larger, tmp_path / "pixels").squares[0]
    np.testing.assert_array_equal(found, square_of(folder / "blue" / "0.png", larger))


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


def test_a_truncated_file_of_pixels_is_rewritten(decoded: Decode, tmp_path: Path, seen: Seen) -> None:
    whole = np.array(decoded().squares)
    with (tmp_path / "run.pixels").open("r+b") as file:
        file.truncate(100)
    np.testing.assert_array_equal(decoded().squares, whole)
    assert seen.decoded == 32


@pytest.mark.parametrize("run_started", [False, True])
@pytest.mark.parametrize("damage", ["zeroed", "one byte"])
def test_a_file_of_pixels_with_other_contents_is_rewritten(
    decoded: Decode, tmp_path: Path, seen: Seen, damage: str, *, run_started: bool
) -> None:
    whole, file = np.array(decoded().squares), tmp_path / "run.pixels"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(len(data)) if damage == "zeroed" else data)
    np.testing.assert_array_equal(decoded(run_started=run_started).squares, whole)
    message = f"'{file}' is damaged: its checksum differs from the recorded one; decoding all photos again"
    assert (seen.decoded, seen.warnings) == (32, [message])
    decoded(run_started=run_started)
    assert seen.decoded == 32


def test_a_record_of_an_earlier_version_gets_the_checksum_of_its_pixels(
    decoded: Decode, tmp_path: Path, seen: Seen
) -> None:
    path = tmp_path / "run.parquet"
    settings = decoded().record.settings
    new = record.read_record(path, settings)
    assert new
    record.write_record(path, dataclasses.replace(new, checksum=None))
    decoded(run_started=True)
    again = record.read_record(path, settings)
    assert again
    assert (again.checksum, seen.decoded) == (new.checksum, 16)


def replace(path: Path, other: Path) -> None:
    """Replace a photo by another one of the same size in bytes, with the same times."""
    before, data = path.stat(), other.read_bytes()
    size = max(before.st_size, len(data))
    path.write_bytes(data.ljust(size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def same_sized(folder: Path) -> tuple[Path, Path]:
    """Return two photos of equal size in bytes: padded at the end, which decoders ignore."""
    one, other = folder / "blue" / "1.png", folder / "red" / "1.png"
    size = max(one.stat().st_size, other.stat().st_size)
    for path in (one, other):
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    return one, other


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
        lambda folder: replace(folder / "blue" / "1.png", folder / "red" / "1.png"),
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
@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_any_change_makes_all_photos_be_decoded_again(
    decoded: Decode,
    folder: Path,
    preprocessing: Preprocessing,
    seen: Seen,
    change: Callable[[Path], object],
    words: str,
    fresh: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not fresh:  # the times of files are trusted
        monkeypatch.setattr(dataset, "_TIMESTAMP_RESOLUTION_NS", 0)
    same_sized(folder)
    decoded()
    change(folder)
    photos = decoded()
    assert seen.warnings == [f"photos or limits changed since decoding: {words}; decoding all photos again"]
    used = [path for path in sorted(folder.rglob("*.png")) if path.read_bytes() != b"broken"]
    assert photos.targets.tolist() == [("blue", "red").index(path.parent.name) for path in used]
    for path, square in zip(used, photos.squares, strict=True):
        np.testing.assert_array_equal(square, square_of(path, preprocessing))


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_any_change_after_the_start_of_a_run_is_rejected(
    decoded: Decode, folder: Path, change: Callable[[Path], object], words: str
) -> None:
    same_sized(folder)
    decoded()
    change(folder)
    with pytest.raises(InputError) as caught:
        decoded(run_started=True)
    assert (
        f"holds a run with other photos; since it started: {words}; restore them to" in caught.value.message
    )
    assert caught.value.field == "out"


def test_restored_photos_are_recognised(decoded: Decode, folder: Path, seen: Seen) -> None:
    decoded()
    (folder / "red" / "3.png").rename(folder / "blue" / "9.png")
    (folder / "blue" / "9.png").rename(folder / "red" / "3.png")
    shutil.copytree(folder, folder.with_name("copy"))  # another inode and other times for all
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)
    decoded(run_started=True)
    assert (seen.decoded, seen.warnings) == (16, [])


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
    folder: Path, preprocessing: Preprocessing, tmp_path: Path, seen: Seen
) -> None:
    listed = folder / "list.txt"
    lines = [f"{path.relative_to(folder)}\t{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
    listed.write_text("\n".join(lines))
    cached_photos(read_folder(listed), preprocessing, tmp_path / "pixels")
    listed.write_text("\n".join([*lines[:-1], "red/7.png\tblue"]))
    photos = read_folder(listed)
    found = cached_photos(photos, preprocessing, tmp_path / "pixels", warn=seen.warnings.append)
    assert "1 moved ('red/7.png' from class 'red' to 'blue')" in seen.warnings[0]
    assert found.targets.tolist() == [0] * 9 + [1] * 7


def test_an_unreadable_record_is_recreated(decoded: Decode, tmp_path: Path, seen: Seen) -> None:
    decoded()
    (tmp_path / "run.parquet").write_bytes(b"damaged")
    decoded()
    assert seen.decoded == 32


def test_grey_photos_become_rgb(folder: Path, decoded: Decode) -> None:
    Image.new("L", (40, 40), 77).save(folder / "red" / "zz-grey.png")
    assert (decoded().squares[-1] == 77).all()


def limited(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    for name, value in limits.items():
        monkeypatch.setenv(f"ZFSCOPE_MAX_IMAGE_{name.upper()}", str(value))


def test_photos_are_decoded_again_when_the_limit_of_pixels_changed(
    decoded: Decode, folder: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (120, 120), "red").save(folder / "red" / "9.png")
    limited(monkeypatch, pixels=10_000)
    before = decoded()
    assert [photo.name for photo in before.skipped] == ["red/9.png"]
    limited(monkeypatch, pixels=20_000)
    after = decoded()
    assert after.skipped == ()
    assert len(after.squares) == len(before.squares) + 1
    assert seen.warnings == [
        "photos or limits changed since decoding: max_image_pixels from 10,000 to 20,000; "
        "decoding all photos again"
    ]
    assert decoded().record.limits == {"max_image_bytes": DecodeLimits.bytes, "max_image_pixels": 20_000}
    assert len(seen.warnings) == 1


def test_a_run_is_not_resumed_with_other_limits(
    decoded: Decode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded()
    limited(monkeypatch, pixels=20_000)
    with pytest.raises(InputError) as refused:
        decoded(run_started=True)
    assert refused.value.field == "out"
    assert refused.value.message == (
        f"'{tmp_path}' holds a run whose photos were decoded with other limits: max_image_pixels from "
        "50,000,000 to 20,000; restore them to resume the run, or give another folder"
    )


def test_a_byte_limit_that_no_photo_reaches_changes_nothing(
    decoded: Decode, folder: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = max(path.stat().st_size for path in folder.rglob("*.png"))
    decoded()
    limited(monkeypatch, bytes=largest)
    assert decoded(run_started=True).skipped == ()
    assert (seen.decoded, seen.warnings) == (16, [])
    limited(monkeypatch, bytes=largest - 1)
    with pytest.raises(
        InputError, match=f"other limits: max_image_bytes from {DecodeLimits.bytes:,} to {largest - 1:,}; "
    ):
        decoded(run_started=True)
    assert decoded().skipped


def test_a_record_of_an_earlier_version_is_accepted_with_any_limits(
    decoded: Decode, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope.training.decoded.limit_settings", lambda limits: {})
    decoded()
    limited(monkeypatch, pixels=20_000)
    decoded(run_started=True)
    assert (seen.decoded, seen.warnings) == (16, [])
