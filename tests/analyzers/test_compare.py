"""Architectures side by side, as an analyzer."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from zfscope.analysis.architectures import compare, result
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.errors import InputError, NotFound

COMPARE = load_analyzers().analyzer("compare-architectures")


def look(context: Context, *others: str) -> Analysis:
    return COMPARE.analyze(context, read_params(COMPARE, {"others": others}))


def test_the_model_comes_first_and_then_the_others(plain_context: Context) -> None:
    assert plain_context.store is not None
    models = [plain_context.model, plain_context.store.load("narrow")]
    expected = result(compare(models, [plain_context.images[0].photo]))
    seen = look(plain_context, "narrow")
    assert seen.tables == expected.tables
    assert seen.tables["architectures"].columns == ("measure", "tiny 1", "narrow 1")
    for name, tensor in expected.tensors.items():
        np.testing.assert_array_equal(seen.tensors[name], tensor)


def test_a_version_can_be_named(plain_context: Context) -> None:
    assert look(plain_context, "narrow:1").tables == look(plain_context, "narrow").tables


def test_it_costs_all_models_for_each_photo(context: Context) -> None:
    costs = [COMPARE.cost(context.model, COMPARE.params(others=("narrow",) * count)) for count in (1, 3)]
    assert costs[1] == 2 * costs[0]


@pytest.mark.parametrize(
    ("others", "error", "field", "told"),
    [
        (("nobody",), NotFound, "others[0]", "no model 'nobody'"),
        (("narrow", "narrow:2"), NotFound, "others[1]", "no version 2 of model 'narrow'"),
        (("narrow:new",), InputError, "others[0]", "named as NAME or NAME:VERSION"),
        (("narrow", "narrow"), InputError, "models", "narrow.* is named 2 times"),
        (("small",), InputError, "models", "reads 32 x 32 pixels, .*small.* reads 28 x 28 pixels"),
        ((), InputError, "others", "at least 1 item"),
    ],
)
def test_what_does_not_compare_is_refused(
    context: Context, others: Any, error: type[Exception], field: str, told: str
) -> None:
    with pytest.raises(error, match=told) as refusal:
        look(context, *others)
    assert refusal.value.field == field


def test_without_a_store_there_are_no_others(context: Context) -> None:
    with pytest.raises(NotFound, match="no store to find other models in"):
        look(replace(context, store=None), "narrow")
