"""Errors of the analyzer `evolve`."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.analyzers.evolve.conftest import EVOLVE, MakeIndex, evolve
from zfscope.analysis.contract import Context
from zfscope.analysis.run import read_params
from zfscope.errors import InputError, NotFound


@pytest.mark.parametrize(
    ("params", "error", "field", "text"),
    [
        ({"layer": "conv9"}, NotFound, "layer", "layer 'conv9' not found; available: conv1, "),
        (
            {"layer": "fc7"},
            InputError,
            "layer",
            "layer 'fc7' has no feature maps; checkpoints hold only layers that have: conv1, relu1, ",
        ),
        (
            {"layer": "relu1"},
            NotFound,
            "layer",
            "layer 'relu1' is not in index 'val'; available: conv1, conv5",
        ),
        ({"maps": [3, 12]}, NotFound, "maps[1]", "no map 12 in layer 'conv5'; allowed: 0 to 11"),
        ({"epochs": [1, 7]}, NotFound, "epochs[1]", "model 'tiny' version 1 has no checkpoint of epoch 7; "),
        ({"index": "train"}, NotFound, "index", "zfscope index DATA --model tiny --checkpoint 1"),
        ({"first": 12}, InputError, "first", "first is 12; allowed: 0 to 11 (layer 'conv5' has 12 maps)"),
    ],
)
def test_errors_name_what_is_available(
    ready: Context, params: dict[str, Any], error: type[Exception], field: str, text: str
) -> None:
    with pytest.raises(error) as caught:
        evolve(ready, **params)
    assert (caught.value.field, text in str(caught.value)) == (field, True)


@pytest.mark.parametrize("params", [{"maps": [1, 1]}, {"epochs": [2, 2]}, {"maps": [1], "first": 2}])
def test_contradictory_parameters_are_rejected(params: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"named more than once|maps are set too"):
        read_params(EVOLVE, params)


def test_the_error_for_an_epoch_without_an_index_has_the_command_that_makes_it(
    unindexed: Context, make_index: MakeIndex
) -> None:
    with pytest.raises(NotFound, match=r"zfscope index DATA --model tiny and .* --checkpoint 1"):
        evolve(unindexed)
    make_index(None)
    command = "zfscope index DATA --model tiny --checkpoint 1 --name val-epoch-001"
    with pytest.raises(NotFound, match=f"has no index 'val' of epoch 1, 2; build it with: {command}"):
        evolve(unindexed)
    make_index(1)
    with pytest.raises(NotFound, match=r"of epoch 2; build it with: .* --checkpoint 2 --name val-epoch-002"):
        evolve(unindexed, epochs=[1, 2])


def test_the_error_for_a_model_without_checkpoints_lists_models_with_some(ready: Context) -> None:
    assert ready.store is not None
    plain = replace(ready, model=ready.store.load("plain"))
    with pytest.raises(
        NotFound, match="'plain' version 1 has no checkpoints; models with checkpoints: model 'tiny'"
    ) as it:
        evolve(plain)
    assert "--checkpoints" in it.value.message
    with pytest.raises(NotFound, match="no model store to load checkpoints from"):
        evolve(replace(ready, store=None))


def test_indexes_that_cannot_be_compared_are_rejected(
    ready: Context, make_index: MakeIndex, photos: Path
) -> None:
    fewer = shutil.copytree(photos, photos.with_name("fewer"))
    next(fewer.rglob("*.png")).unlink()
    make_index(None, "mixed")
    make_index(1, "mixed", fewer)
    with pytest.raises(InputError, match="several indexes; name one of mixed, val"):
        evolve(ready)
    with pytest.raises(InputError, match="'mixed-epoch-001' and 'mixed' cover different photos"):
        evolve(ready, index="mixed")
    make_index(None, "sums", rank="sum")
    make_index(1, "sums")
    with pytest.raises(InputError, match="index 'sums' ranks photos by the sum of a map"):
        evolve(ready, index="sums")
