"""Accuracy, compared with a calculation by hand; ten crops."""

import numpy as np
import pytest
import torch

from zfscope.images.preprocess import Crops, MeanImage, Preprocessing, prepare
from zfscope.networks.network import Network
from zfscope.training.batches import Batches
from zfscope.training.evaluate import evaluate


@torch.no_grad()
def by_hand(
    network: Network,
    batches: Batches,
    preprocessing: Preprocessing,
    crops: Crops,
    mean_image: MeanImage | None = None,
) -> float:
    hits = 0
    for square, target in zip(batches.squares, batches.targets, strict=True):
        prepared = prepare(np.array(square), preprocessing, crops=crops, mean_image=mean_image)
        pixels = torch.from_numpy(prepared.pixels.copy())
        hits += int(network(pixels).softmax(1).mean(0).argmax()) == target
    return round(100 * hits / len(batches.targets), 3)


@pytest.mark.parametrize(("crops", "ten"), [("centre", False), ("ten", True)])
def test_the_accuracy_matches_that_of_single_photos(
    network: Network, batches: Batches, preprocessing: Preprocessing, crops: Crops, ten: bool
) -> None:
    result = evaluate(network, batches.squares, batches.targets, preprocessing, ten_crop=ten)
    assert result.top1 == by_hand(network, batches, preprocessing, crops)
    assert (result.top5, result.images) == (100.0, 16)


def test_photos_can_be_resized_as_in_early_training_phases(
    network: Network, batches: Batches, preprocessing: Preprocessing
) -> None:
    advanced: list[int] = []
    result = evaluate(
        network, batches.squares, batches.targets, preprocessing, size=20, advance=advanced.append
    )
    assert 0 <= result.top1 <= 100
    assert sum(advanced) == 16
    assert (result.top5, result.images) == (100.0, 16)


@pytest.mark.parametrize("side", [32, 36])
@pytest.mark.parametrize(("crops", "ten"), [("centre", False), ("ten", True)])
def test_a_mean_image_of_the_crop_or_the_square_is_subtracted(
    network: Network, batches: Batches, preprocessing: Preprocessing, crops: Crops, ten: bool, side: int
) -> None:
    with_mean_image = preprocessing.model_copy(update={"mean": "image"})
    mean = np.random.default_rng(0).uniform(0, 200, (3, side, side)).astype(np.float32)
    result = evaluate(
        network, batches.squares, batches.targets, with_mean_image, mean_image=mean, ten_crop=ten
    )
    assert result.top1 == by_hand(network, batches, with_mean_image, crops, mean)
