"""Reading a photo: the network input, or the reason why it cannot be used."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zfscope.datasets.dataset import MISSING, Photo
from zfscope.images.decode import decode
from zfscope.images.limits import DecodeLimits
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.scan.scanner import ScanInput, read_input

PREPROCESSING = Preprocessing(short_side=36, centre=36, crop=32)


def photo_of(path: Path, *, size: int | None = None) -> Photo:
    return Photo(0, path.name, path, 0, path.stat().st_size if size is None else size)


def reason(photo: Photo) -> str:
    result = read_input(photo, PREPROCESSING, None)
    assert isinstance(result, str)
    return result


def test_a_photo_is_prepared_as_by_any_other_command(photos: Path) -> None:
    path = photos / "b" / "00.JPG"
    result = read_input(photo_of(path), PREPROCESSING, None)
    assert isinstance(result, ScanInput)
    np.testing.assert_array_equal(result.pixels, prepare(decode(path.read_bytes()), PREPROCESSING).pixels[0])
    assert result.digest == hashlib.blake2b(path.read_bytes(), digest_size=16).digest()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("b/text.jpg", "the file is not an image: it starts with 6e 6f 20 70"),
        ("b/cut.jpg", "the file is a damaged or incomplete JPEG file: "),
        ("b/empty.png", "the file is empty: 0 bytes"),
        (
            "c/vast.jpg",
            f"the file has {DecodeLimits.bytes + 2**20:,} bytes; allowed: at most {DecodeLimits.bytes:,}",
        ),
        ("c/wide.png", "the file has 10000 x 5001 = 50,010,000 pixels; allowed: at most 50,000,000"),
    ],
)
def test_the_reason_for_a_broken_photo_is_returned(photos: Path, file: str, message: str) -> None:
    assert reason(photo_of(photos / file)).startswith(message)


def test_a_photo_that_never_existed_is_reported(tmp_path: Path) -> None:
    assert reason(photo_of(tmp_path / "a.png", size=MISSING)) == "no such file"


def test_a_photo_removed_after_listing_is_reported(tmp_path: Path) -> None:
    assert (
        reason(photo_of(tmp_path / "a.png", size=10)) == "the file cannot be read: No such file or directory"
    )


def test_a_photo_whose_name_is_not_utf_8_is_reported(
    tmp_path: Path, draw: Callable[..., Image.Image]
) -> None:
    path = tmp_path / "caf\udce9.png"
    draw(0).save(path)
    assert reason(photo_of(path)) == "the file's name is not UTF-8; rename it"


def test_a_photo_too_small_for_a_model_without_resampling_is_reported(photos: Path) -> None:
    result = read_input(
        photo_of(photos / "a" / "00.png"), Preprocessing(short_side=0, centre=50, crop=50), None
    )
    assert isinstance(result, str)
    assert result.endswith("the model does not resample photos and needs at least 50 x 50")
