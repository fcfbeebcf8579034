"""Explanations of a class by several methods and models: areas, agreement, failures, differences."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.analyzers.faithfulness.conftest import measure
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.run import read_params, run
from zfscope.errors import InputError, NotFound, ZfscopeError
from zfscope.images.geometry import Box, Geometry
from zfscope_analyzers.explain import Explain, ExplainParams
from zfscope_analyzers.explain.measure import _source, agreement, relative

FEW: dict[str, Any] = {
    "methods": ["occlude", "project", "project/guided"],
    "method_parameters": {
        "occlude": {"window": 16, "stride": 16},
        "project": {"rule": "gradient"},
        "project/guided": {"rule": "guided"},
    },
    "step": 0.25,
    "random": 2,
    "label": "dog",
}


def explain(context: Context, **parameters: Any) -> Analysis:
    """Run the analyzer as zfscope does, which also validates the result."""
    analyzer = Explain()
    return run(analyzer, context, read_params(analyzer, {**FEW, **parameters}))


def test_each_method_has_the_areas_that_faithfulness_measures(plain_context: Context) -> None:
    result = explain(plain_context, control=True)
    rows = {row["method"]: row for row in result.tables["methods"].records()}
    for method, parameters in FEW["method_parameters"].items():
        own = {"method": method.split("/")[0], "method_parameters": parameters, "labels": ["dog"]}
        expected = measure(plain_context, **own, step=0.25, random=2)
        for name in ("deletion_area", "insertion_area", "control_deletion_area", "control_insertion_area"):
            assert rows[method][name] == pytest.approx(expected.numbers[name], rel=1e-5)
        np.testing.assert_array_equal(
            result.tensors[f"{method}-attribution"], expected.tensors["attribution"]
        )
        assert rows["random orders"]["deletion_area"] == pytest.approx(expected.numbers["random_area"])
    assert {row["model"] for row in rows.values()} == {"tiny:1"}


def test_agreement_is_the_rank_correlation_of_every_two_methods(plain_context: Context) -> None:
    result = explain(plain_context)
    rows = result.tables["agreement"].records()
    assert [(row["method"], row["other"]) for row in rows] == [
        ("occlude", "project"),
        ("occlude", "project/guided"),
        ("project", "project/guided"),
    ]
    for row in rows:
        one, other = (result.tensors[f"{row[name]}-attribution"].ravel() for name in ("method", "other"))
        assert row["rank_correlation"] == pytest.approx(spearmanr(one, other).statistic)


def test_a_constant_attribution_agrees_with_none() -> None:
    ramp = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert agreement(ramp, np.ones((2, 3), np.float32)) is None
    assert agreement(ramp, 2 * ramp + 1) == pytest.approx(1)
    assert agreement(ramp, -ramp) == pytest.approx(-1)


def test_a_method_that_fails_is_a_row_with_the_reason(plain_context: Context) -> None:
    methods = ["activations", "occlude"]
    result = explain(replace(plain_context, pictures=True), methods=methods, method_parameters={})
    failed, measured, random = result.tables["methods"].records()
    assert failed["reason"].startswith("method is 'activations', which gives no tensor 'attribution'")
    assert failed["deletion_area"] is None
    assert measured["reason"] is None
    assert random["method"] == "random orders"
    assert list(result.numbers) == ["seconds occlude"]
    assert result.tables["agreement"].rows == ()
    np.testing.assert_array_equal(result.tensors["attribution"], result.tensors["occlude-attribution"])


def test_the_class_is_the_most_likely_unless_it_is_named(plain_context: Context) -> None:
    result = explain(plain_context, label="", methods=["project"], method_parameters={})
    likeliest = result.tables["classes"].records()[0]
    named = explain(plain_context, label=likeliest["label"], methods=["project"], method_parameters={})
    np.testing.assert_array_equal(result.tensors["attribution"], named.tensors["attribution"])


def test_another_model_explains_the_same_class(plain_context: Context) -> None:
    result = explain(replace(plain_context, pictures=True), other="narrow")
    titles = [row["model"] for row in result.tables["methods"].records()]
    assert titles == ["tiny:1"] * 4 + ["narrow:1"] * 4
    assert {row["model"] for row in result.tables["classes"].records()} == {"tiny:1", "narrow:1"}
    for method in FEW["methods"]:
        own, other = (result.tensors[f"{prefix}{method}-attribution"] for prefix in ("", "other-"))
        np.testing.assert_allclose(
            result.tensors[f"{method}-difference"], relative(own) - relative(other), atol=1e-6
        )
    assert result.tensors["projection"].shape == result.tensors["other-projection"].shape == (3, 32, 32)
    assert "seconds occlude narrow:1" in result.numbers
    assert result.warnings == ()


def test_a_model_explains_itself_without_a_difference(plain_context: Context) -> None:
    result = explain(plain_context, other="tiny:1")
    for method in FEW["methods"]:
        assert np.abs(result.tensors[f"{method}-difference"]).max() < 1e-3


def test_models_of_different_input_sizes_are_compared_where_both_see_the_photo(
    plain_context: Context,
) -> None:
    result = explain(plain_context, other="small")
    assert result.tensors["other-occlude-attribution"].shape == (28, 28)
    shown = result.tensors["occlude-difference"]
    assert shown.shape == (32, 32)
    # The crop of 28 pixels is the middle of that of 32.
    border = np.ones((32, 32), bool)
    border[2:30, 2:30] = False
    assert (shown[border] == 0).all()
    own, other = (relative(result.tensors[f"{p}occlude-attribution"]) for p in ("", "other-"))
    np.testing.assert_allclose(shown[2:30, 2:30], own[2:30, 2:30] - other, atol=1e-6)


@pytest.mark.parametrize(
    ("target", "source", "expected"),
    [
        (((0, 8), 4), ((0, 8), 4), [0, 1, 2, 3]),
        (((0, 8), 4), ((0, 8), 8), [1, 3, 5, 7]),
        (((0, 8), 4), ((2, 6), 4), [-1, 1, 3, -1]),
        (((2, 6), 4), ((0, 8), 8), [2, 3, 4, 5]),
    ],
)
def test_a_crop_is_read_at_the_centres_of_the_pixels_of_another(
    target: Any, source: Any, expected: list[int]
) -> None:
    def geometry(given: Any) -> Geometry:
        (start, end), size = given
        return Geometry((8, 8), (size, size), Box(start, start, end, end))

    for axis in (0, 1):
        assert _source(geometry(target), geometry(source), axis).tolist() == expected


def test_progress_rises_over_methods_and_models(plain_context: Context) -> None:
    shares: list[float] = []
    explain(replace(plain_context, progress=lambda share, _: shares.append(share)), other="narrow")
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert any(0.4 < share <= 0.5 for share in shares)


def test_the_cost_counts_methods_and_models() -> None:
    analyzer, model = Explain(), Any
    params = ExplainParams(methods=("occlude", "project"), random=5)
    curves = 2 + 2 * 49
    assert analyzer.cost(model, params) == 1 + 2 * curves + 5 * 49  # type: ignore[arg-type]
    both = params.model_copy(update={"other": "narrow"})
    assert analyzer.cost(model, both) == 2 * analyzer.cost(model, params)  # type: ignore[arg-type]
    assert [(each.analyzer, each.times) for each in analyzer.subanalyses(both)] == [
        ("occlude", 2),
        ("project", 2),
        ("project", 2),
    ]


@pytest.mark.parametrize(
    ("parameters", "kind", "field", "message"),
    [
        ({"methods": []}, InputError, "methods", "methods"),
        (
            {"methods": ["faithfulness"], "method_parameters": {}},
            InputError,
            "methods",
            "'faithfulness' compares explanations and is none; name others",
        ),
        (
            {"methods": ["occlude", "occlude"], "method_parameters": {}},
            InputError,
            "methods",
            "'occlude' is named more than once",
        ),
        (
            {"methods": ["occlude"], "method_parameters": {"projct": {}}},
            InputError,
            "method_parameters",
            "'projct' is not one of the methods: occlude",
        ),
        ({"label": "cow"}, NotFound, "label", "label 'cow' not found"),
        ({"other": "wide"}, NotFound, "other", "model 'wide' not found"),
        ({"other": "narrow:x"}, InputError, "other", "other is 'narrow:x'; a model is named as NAME or NAME"),
    ],
)
def test_invalid_parameters_are_rejected_with_their_field(
    plain_context: Context, parameters: Any, kind: type[ZfscopeError], field: str, message: str
) -> None:
    with pytest.raises(kind) as error:
        explain(plain_context, **parameters)
    assert error.value.field == field
    assert message in error.value.message
