"""Decoded photos as training data: their mean and their crops."""

import numpy as np

from zfscope.training.photos import crop_corners, mean_image, random_crop, ten_crop


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
