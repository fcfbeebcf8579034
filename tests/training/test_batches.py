"""Batches are reproducible from seed, epoch and step; mean images and crops."""

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.training.batches import Batches, mean_image, random_crop
from zfscope.training.recipe import Phase


def test_an_epoch_yields_every_photo_once(batches: Batches) -> None:
    classes = torch.cat([targets for _, targets in batches.epoch(0, Phase())])
    assert batches.steps == 4
    assert sorted(classes.tolist()) == [0] * 8 + [1] * 8


def test_an_epoch_resumed_in_the_middle_yields_the_same_batches(batches: Batches) -> None:
    whole = list(batches.epoch(2, Phase()))
    rest = list(batches.epoch(2, Phase(), first_step=3))
    assert len(rest) == 1
    torch.testing.assert_close(rest[0][0], whole[3][0], rtol=0, atol=0)
    assert rest[0][1].tolist() == whole[3][1].tolist()


def test_crops_differ_between_epochs_and_seeds(batches: Batches) -> None:
    first = next(iter(batches.epoch(0, Phase())))[0]
    assert not torch.equal(first, next(iter(batches.epoch(1, Phase())))[0])
    assert not torch.equal(first, next(iter(replace(batches, seed=6).epoch(0, Phase())))[0])


def test_a_phase_sets_the_size(batches: Batches) -> None:
    photos, _ = next(iter(batches.epoch(0, Phase(size=20))))
    assert photos.shape == (4, 3, 20, 20)


def test_photos_are_normalised_as_in_requests(batches: Batches) -> None:
    preprocessing = batches.preprocessing.model_copy(update={"channels": "BGR", "crop": 36})
    whole = Phase(smallest_crop=1, largest_crop=1)
    photos = torch.cat(
        [images for images, _ in replace(batches, preprocessing=preprocessing).epoch(0, whole)]
    )
    known = {prepare(square, preprocessing).pixels[0].tobytes() for square in batches.squares}
    mirrored = [photo.contiguous().numpy().tobytes() not in known for photo in photos]
    photos[mirrored] = photos[mirrored].flip(3)
    assert {photo.contiguous().numpy().tobytes() for photo in photos} == known
    assert 2 < sum(mirrored) < 14
    assert photos.shape == (16, 3, 36, 36)


def test_channels_are_last_in_memory(batches: Batches) -> None:
    photos, _ = next(iter(batches.epoch(0, Phase())))
    assert photos.is_contiguous(memory_format=torch.channels_last)
    assert batches.sample(3).is_contiguous(memory_format=torch.channels_last)


def test_a_mean_image_is_cropped_like_the_papers_crop(batches: Batches) -> None:
    recipe = batches.recipe.model_copy(update={"crop": "ten", "mean": "image"})
    preprocessing = Preprocessing(short_side=36, centre=36, crop=32, mean="image")
    mean = mean_image(batches.squares)
    paper = replace(batches, recipe=recipe, preprocessing=preprocessing, mean_image=mean)
    photos = torch.cat([images for images, _ in paper.epoch(0, Phase())])
    assert photos.shape == (16, 3, 32, 32)
    crops = [
        prepare(square, preprocessing, crops="ten", mean_image=mean).pixels for square in batches.squares
    ]
    known = {crop.astype(np.float32).tobytes() for ten in crops for crop in ten}
    assert {photo.contiguous().numpy().tobytes() for photo in photos} <= known


def test_the_papers_crops_are_drawn_from_all_ten(batches: Batches) -> None:
    recipe, one = batches.recipe.model_copy(update={"crop": "ten", "batch": 1}), slice(0, 1)
    paper = replace(batches, recipe=recipe, squares=batches.squares[one], targets=batches.targets[one])
    drawn = {next(iter(paper.epoch(epoch, Phase())))[0].numpy().tobytes() for epoch in range(100)}
    ten = prepare(batches.squares[0], batches.preprocessing, crops="ten").pixels
    assert drawn == {crop.tobytes() for crop in ten}


def test_a_sample_consists_of_centre_crops_as_in_requests(batches: Batches) -> None:
    first, last = batches.sample(2)
    for image, square in ((first, batches.squares[0]), (last, batches.squares[-1])):
        np.testing.assert_array_equal(image, prepare(square, batches.preprocessing).pixels[0])


def test_the_mean_image_is_the_mean_of_every_pixel() -> None:
    squares = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)
    np.testing.assert_allclose(mean_image(squares), squares.mean(0).transpose(2, 0, 1), rtol=1e-6)


def test_a_random_crop_shows_a_part_of_the_square() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 1, 3))
    generator = np.random.default_rng(1)
    crops = [random_crop(ramp, 16, (0.25, 0.25), generator, Image.Resampling.BILINEAR) for _ in range(40)]
    widths = [int(crop[0, -1, 0]) - int(crop[0, 0, 0]) for crop in crops]
    assert all(crop.shape == (16, 16, 3) for crop in crops)
    assert all(100 < width < 130 for width in widths)  # half of the side: 32 pixels of 4 levels
    assert len({crop.tobytes() for crop in crops}) > 20


def test_crops_of_a_grey_recipe_have_one_channel(batches: Batches) -> None:
    grey = {"channels": "grey", "mean": (120.0,), "std": (60.0,), "interpolation": "bicubic"}
    steps = batches.preprocessing.model_copy(update=grey)
    photos, _ = next(replace(batches, preprocessing=steps).epoch(0, Phase()))
    assert photos.shape[1:] == (1, steps.crop, steps.crop)
    assert replace(batches, preprocessing=steps).sample(2).shape == (2, 1, steps.crop, steps.crop)
