"""Batches: the same for the same seed, epoch and step."""

from dataclasses import replace

import numpy as np
import torch

from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.training.batches import Batches, as_images, normalised
from zfscope.training.photos import mean_image
from zfscope.training.recipe import Phase


def test_an_epoch_gives_every_photo_once(batches: Batches) -> None:
    classes = torch.cat([targets for _, targets in batches.epoch(0, Phase())])
    assert batches.steps == 4
    assert sorted(classes.tolist()) == [0] * 8 + [1] * 8


def test_an_epoch_begun_in_the_middle_goes_on_as_the_whole_one_does(batches: Batches) -> None:
    whole = list(batches.epoch(2, Phase()))
    rest = list(batches.epoch(2, Phase(), first_step=3))
    assert len(rest) == 1
    torch.testing.assert_close(rest[0][0], whole[3][0], rtol=0, atol=0)
    assert rest[0][1].tolist() == whole[3][1].tolist()


def test_another_epoch_and_another_seed_give_other_crops(batches: Batches) -> None:
    first = next(iter(batches.epoch(0, Phase())))[0]
    assert not torch.equal(first, next(iter(batches.epoch(1, Phase())))[0])
    assert not torch.equal(first, next(iter(replace(batches, seed=6).epoch(0, Phase())))[0])


def test_a_phase_sets_the_size(batches: Batches) -> None:
    photos, _ = next(iter(batches.epoch(0, Phase(size=20))))
    assert photos.shape == (4, 3, 20, 20)


def test_photos_are_normalised_as_requests_are(preprocessing: Preprocessing) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (36, 36, 3), dtype=np.uint8)
    bgr = preprocessing.model_copy(update={"channels": "BGR", "crop": 36})
    expected = prepare(photo, bgr).pixels
    np.testing.assert_allclose(as_images(normalised(photo[None], bgr, None)), expected, rtol=1e-5, atol=1e-6)


def test_a_mean_image_is_cut_with_the_papers_crop(batches: Batches) -> None:
    recipe = batches.recipe.model_copy(update={"crop": "ten", "mean": "image"})
    steps = Preprocessing(short_side=36, centre=36, crop=32, mean="image")
    mean = mean_image(batches.squares)
    paper = replace(batches, recipe=recipe, preprocessing=steps, mean_image=mean)
    photos = torch.cat([images for images, _ in paper.epoch(0, Phase())])
    assert photos.shape == (16, 3, 32, 32)
    crops = [prepare(square, steps, crops="ten", mean_image=mean).pixels for square in batches.squares]
    known = {crop.astype(np.float32).tobytes() for ten in crops for crop in ten}
    assert {photo.contiguous().numpy().tobytes() for photo in photos} <= known


def test_a_sample_is_centre_crops_as_requests_are(batches: Batches) -> None:
    first, last = batches.sample(2)
    for image, square in ((first, batches.squares[0]), (last, batches.squares[-1])):
        np.testing.assert_allclose(
            image, prepare(square, batches.preprocessing).pixels[0], rtol=1e-5, atol=1e-5
        )
