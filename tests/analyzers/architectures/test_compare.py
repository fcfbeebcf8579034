"""Comparison of models: valid inputs and results."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from zfscope.cancellation import interruptible
from zfscope.errors import Cancelled, InputError
from zfscope.networks import NetworkSpec
from zfscope.store import Model
from zfscope_analyzers.architectures import compare, cost

Make = Callable[..., Model]
Photos = tuple[NDArray[np.uint8], ...]


def test_models_are_measured_in_the_given_order(
    spec: NetworkSpec, coarse_spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    models = [make_model(spec, name="fine"), make_model(coarse_spec, name="coarse")]
    assert [each.title for each in compare(models, photos)] == ["fine 1", "coarse 1"]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_models_are_rejected(
    spec: NetworkSpec, make_model: Make, photos: Photos, count: int
) -> None:
    with pytest.raises(InputError, match=f"{count} models to compare; name two or more") as caught:
        compare([make_model(spec)] * count, photos)
    assert caught.value.field == "models"


def test_a_duplicate_model_is_rejected(spec: NetworkSpec, make_model: Make, photos: Photos) -> None:
    with pytest.raises(InputError, match="model 'small' version 1 is named 2 times; name each model once"):
        compare([make_model(spec)] * 2, photos)


def test_measuring_stops_when_the_call_is_cancelled(
    spec: NetworkSpec, coarse_spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    def cancelled() -> None:
        raise Cancelled("cancelled")

    with interruptible(cancelled), pytest.raises(Cancelled):
        compare([make_model(spec), make_model(coarse_spec, name="b")], photos)


def test_the_cost_grows_with_models_and_photos() -> None:
    assert cost(2, 1) == 2 * (4 + 128)
    assert cost(3, 10) == 3 * (40 + 128)
