"""Image folders: listing, decoding once, cropping."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.conftest import write_photos
from zfscope.errors import InputError
from zfscope.images.decode import decode
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.training.photos import (
    cached_squares,
    crop_corners,
    mean_image,
    random_crop,
    read_folder,
    ten_crop,
)


def test_classes_are_the_folders_in_alphabetical_order(folder: Path) -> None:
    photos = read_folder(folder)
    assert photos.classes == ("blue", "red")
    assert photos.targets.tolist() == [0] * 8 + [1] * 8
    assert all(
        path.parent.name == photos.classes[n] for path, n in zip(photos.files, photos.targets, strict=True)
    )


def test_given_classes_number_the_photos_and_may_lack_a_folder(folder: Path) -> None:
    photos = read_folder(folder, ("red", "green", "blue"))
    assert sorted(set(photos.targets.tolist())) == [0, 2]
    assert photos.files[0].parent.name == "red"


def test_a_folder_that_the_model_does_not_know_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"has the folders \['red'\]; expected folders among blue, green"):
        read_folder(folder, ("blue", "green"))


def test_no_folder_one_class_and_a_class_without_photos_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        read_folder(tmp_path / "none")
    (tmp_path / "one" / "only").mkdir(parents=True)
    with pytest.raises(InputError, match="at least two folders"):
        read_folder(tmp_path / "one")
    (folder / "green").mkdir()
    (folder / "green" / "notes.txt").write_text("no photo")
    with pytest.raises(InputError, match="green' holds no photos"):
        read_folder(folder)


def test_squares_are_those_of_the_preprocessing_and_decoded_once(
    folder: Path, preprocessing: Preprocessing, tmp_path: Path
) -> None:
    photos, told = read_folder(folder), []
    squares = cached_squares(photos, preprocessing, tmp_path / "pixels", advance=told.append)
    assert sum(told) == 16
    whole = preprocessing.model_copy(update={"crop": preprocessing.centre})
    expected = prepare(decode(photos.files[11].read_bytes()), whole).views[0]
    np.testing.assert_array_equal(squares[11], expected)
    again = cached_squares(photos, preprocessing, tmp_path / "pixels", advance=told.append)
    np.testing.assert_array_equal(again, squares)
    assert sum(told) == 16


def test_another_folder_is_decoded_anew(folder: Path, preprocessing: Preprocessing, tmp_path: Path) -> None:
    cached_squares(read_folder(folder), preprocessing, tmp_path / "pixels")
    other = read_folder(write_photos(tmp_path / "other", count=3))
    assert len(cached_squares(other, preprocessing, tmp_path / "pixels")) == 6


def test_a_photo_that_cannot_be_decoded_is_named(
    folder: Path, preprocessing: Preprocessing, tmp_path: Path
) -> None:
    (folder / "red" / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken\.png"):
        cached_squares(read_folder(folder), preprocessing, tmp_path / "pixels")


def test_the_mean_image_is_the_mean_of_every_pixel() -> None:
    squares = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    np.testing.assert_allclose(mean_image(squares), squares.mean(0).transpose(2, 0, 1), rtol=1e-6)


def test_a_random_crop_shows_a_part_of_the_square_mirrored_half_of_the_time() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 1, 3))
    generator = np.random.default_rng(1)
    crops = [random_crop(ramp, 16, (0.25, 0.25), generator) for _ in range(40)]
    widths = [abs(int(crop[0, -1, 0]) - int(crop[0, 0, 0])) for crop in crops]
    assert all(crop.shape == (16, 16, 3) for crop in crops)
    assert all(100 < width < 130 for width in widths)  # half of the side: 32 pixels of 4 levels
    mirrored = sum(crop[0, -1, 0] < crop[0, 0, 0] for crop in crops)
    assert 8 < mirrored < 32


def test_the_ten_crops_are_the_corners_the_centre_and_their_mirror_images() -> None:
    square = np.random.default_rng(2).normal(size=(8, 8, 3)).astype(np.float32)
    cut = [square[y : y + 6, x : x + 6] for x, y in ((0, 0), (2, 0), (0, 2), (2, 2), (1, 1))]
    allowed = {crop.tobytes() for crop in cut} | {crop[:, ::-1].tobytes() for crop in cut}
    generator = np.random.default_rng(3)
    drawn = {ten_crop(square, 6, generator).tobytes() for _ in range(200)}
    assert drawn == allowed
    assert crop_corners(8, 6) == ((0, 0), (2, 0), (0, 2), (2, 2), (1, 1))


def test_grey_photos_become_rgb(folder: Path, preprocessing: Preprocessing, tmp_path: Path) -> None:
    Image.new("L", (40, 40), 77).save(folder / "red" / "zz-grey.png")
    squares = cached_squares(read_folder(folder), preprocessing, tmp_path / "pixels")
    assert (squares[-1] == 77).all()
