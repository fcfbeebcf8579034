"""Decoded photos and the decoding limits."""

from pathlib import Path

import pytest
from PIL import Image

from tests.training.conftest import Decode, Recorder
from zfscope.errors import InputError
from zfscope.images.limits import DecodeLimits


def set_limits(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    for name, value in limits.items():
        monkeypatch.setenv(f"ZFSCOPE_MAX_IMAGE_{name.upper()}", str(value))


def test_photos_are_decoded_again_when_the_limit_of_pixels_changed(
    decoded: Decode, folder: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (120, 120), "red").save(folder / "red" / "9.png")
    set_limits(monkeypatch, pixels=10_000)
    before = decoded()
    assert [photo.name for photo in before.skipped] == ["red/9.png"]
    set_limits(monkeypatch, pixels=20_000)
    after = decoded()
    assert after.skipped == ()
    assert len(after.squares) == len(before.squares) + 1
    assert recorder.warnings == [
        "photos or limits changed since decoding: max_image_pixels from 10,000 to 20,000; "
        "decoding all photos again"
    ]
    assert decoded().record.limits == {"max_image_bytes": DecodeLimits.bytes, "max_image_pixels": 20_000}
    assert len(recorder.warnings) == 1


def test_a_run_is_not_resumed_with_other_limits(
    decoded: Decode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded()
    set_limits(monkeypatch, pixels=20_000)
    with pytest.raises(InputError) as caught:
        decoded(run_started=True)
    assert caught.value.field == "out"
    assert caught.value.message == (
        f"'{tmp_path}' holds a run whose photos were decoded with other limits: max_image_pixels from "
        "50,000,000 to 20,000; restore them to resume the run, or choose another folder"
    )


def test_a_byte_limit_that_no_photo_reaches_changes_nothing(
    decoded: Decode, folder: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = max(path.stat().st_size for path in folder.rglob("*.png"))
    decoded()
    set_limits(monkeypatch, bytes=largest)
    assert decoded(run_started=True).skipped == ()
    assert (recorder.decoded, recorder.warnings) == (16, [])
    set_limits(monkeypatch, bytes=largest - 1)
    with pytest.raises(
        InputError, match=f"other limits: max_image_bytes from {DecodeLimits.bytes:,} to {largest - 1:,}; "
    ):
        decoded(run_started=True)
    assert decoded().skipped


def test_a_record_of_an_earlier_version_is_accepted_with_any_limits(
    decoded: Decode, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope.training.decoded.limit_settings", lambda limits: {})
    decoded()
    set_limits(monkeypatch, pixels=20_000)
    decoded(run_started=True)
    assert (recorder.decoded, recorder.warnings) == (16, [])
