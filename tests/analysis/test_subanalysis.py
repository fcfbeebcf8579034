"""Analyses that an analyzer runs on its own photos: parameters, costs, progress, errors and cancellation."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, Field

from zfscope.analysis.contract import Analysis, Context, Notice, Subanalysis, Table
from zfscope.analysis.registry import RegisteredAnalyzer, Registry
from zfscope.analysis.run import read_params
from zfscope.analysis.subanalysis import (
    analyzer_names,
    check_subanalyses,
    class_parameters,
    total_cost,
)
from zfscope.errors import AnalyzerFailed, Cancelled, InputError, NotFound
from zfscope.store import Label


class InnerParams(BaseModel, extra="forbid"):
    side: int = Field(default=2, ge=1)
    label: str = ""


class Inner:
    """Returns its parameters, reports progress, and fails for some of them."""

    name = "inner"
    summary = "Returns its parameters"
    api_version = 2
    photos = (0, 1)
    params = InnerParams

    def cost(self, model: Any, params: InnerParams) -> int:
        return 10 * params.side

    def analyze(self, context: Context, params: InnerParams) -> Analysis:
        context.check_cancelled()
        assert (context.pictures, context.tensors) == (False, True)
        context.progress(0.5, None)
        if params.side == 7:
            raise InputError("side is 7; allowed: any other", field="side")
        if params.side == 8:
            raise RuntimeError("a bug")
        table = Table(("label",), ((params.label,),))
        warning = Notice("odd", "the side is odd", "side")
        return Analysis(
            tensors={"side": np.full((1, 1), params.side, np.float32)},
            tables={"parameters": table},
            warnings=(warning,) if params.side % 2 else (),
        )


class OuterParams(BaseModel, extra="forbid"):
    method: str = "inner"
    options: dict[str, Any] = {}


class Outer(Inner):
    """Runs an analyzer twice."""

    name = "outer"
    params: Any = OuterParams

    def cost(self, model: Any, params: Any) -> int:
        return 1

    def subanalyses(self, params: Any) -> Sequence[Subanalysis]:
        return (Subanalysis(params.method, params.options, "method", "options", times=2),)


REGISTRY = Registry([RegisteredAnalyzer(Inner(), "p", "1"), RegisteredAnalyzer(Outer(), "p", "1")])
MODEL: Any = SimpleNamespace(
    labels=(Label(id="n0", name="ant"), Label(id="n1", name="bee")),
    spec=SimpleNamespace(scores="fc8"),
    manifest=SimpleNamespace(graph=None),
)


def call(**options: Any) -> Subanalysis:
    return Subanalysis("inner", options, "method", "options")


def context(**options: Any) -> Context:
    runtime: Any = SimpleNamespace(precision="float32")
    return Context(MODEL, runtime, (), analyzers=REGISTRY, **options)


def test_a_result_has_tensors_and_the_parameters_given() -> None:
    result = context().analyze(call(side=4))
    assert result.tensors["side"].tolist() == [[4]]
    assert result.tables["parameters"].rows == (("",),)


def test_the_class_is_added_unless_the_parameters_name_one() -> None:
    rows = [
        context().analyze(call(**given), class_index=1).tables["parameters"].rows[0][0]
        for given in ({}, {"label": "ant"})
    ]
    assert rows == ["n1", "ant"]


@pytest.mark.parametrize(
    ("fields", "given", "expected"),
    [
        ({"label"}, {}, {"label": "n1"}),
        ({"classes"}, {}, {"classes": ["n1"]}),
        ({"classes"}, {"classes": ["n0"]}, {}),
        ({"layer", "units", "top"}, {}, {"layer": "fc8", "units": [{"map": 1}]}),
        ({"layer", "units", "top"}, {"layer": "conv5"}, {}),
        ({"layer"}, {}, {}),
    ],
)
def test_analyzers_take_a_class_by_one_of_three_parameters(fields: Any, given: Any, expected: Any) -> None:
    params: Any = SimpleNamespace(model_fields=dict.fromkeys(fields))
    assert class_parameters(params, MODEL, 1, given) == expected


def test_progress_is_a_share_of_the_outer_analysis() -> None:
    shares: list[float] = []
    reported = context(progress=lambda share, _: shares.append(share))
    reported.analyze(call(), share=(0.2, 0.6))
    reported.analyze(call())
    assert shares == [pytest.approx(0.4)]


def test_a_cancelled_call_ends_the_inner_analysis() -> None:
    def cancel() -> None:
        raise Cancelled("the call was cancelled")

    with pytest.raises(Cancelled):
        context(check_cancelled=cancel).analyze(call())


def test_errors_and_warnings_name_the_parameter_of_the_outer_analysis() -> None:
    for side in (0, 7):
        with pytest.raises(InputError) as error:
            context().analyze(call(side=side))
        assert error.value.field == "options.side"
    (notice,) = context().analyze(call(side=3)).warnings
    assert notice == Notice("odd", "the side is odd", "options.side")
    with pytest.raises(NotFound) as missing:
        context().analyze(replace(call(), analyzer="iner"))
    assert missing.value.field == "method"


def test_a_bug_names_the_inner_analyzer() -> None:
    with pytest.raises(AnalyzerFailed) as error:
        context().analyze(call(side=8))
    assert error.value.analyzer == "inner"


def test_costs_are_those_of_both_analyses() -> None:
    outer = Outer()
    assert total_cost(REGISTRY, outer, MODEL, read_params(outer, {})) == 1 + 2 * 20
    nested = {"method": "outer", "options": {"options": {"side": 3}}}
    assert total_cost(REGISTRY, outer, MODEL, read_params(outer, nested)) == 1 + 2 * (1 + 2 * 30)
    assert total_cost(REGISTRY, Inner(), MODEL, InnerParams()) == 20


def test_all_analyzers_that_an_analysis_runs_are_named() -> None:
    outer = Outer()
    nested = read_params(outer, {"method": "outer", "options": {}})
    assert analyzer_names(REGISTRY, outer, nested) == ("outer", "inner")
    assert analyzer_names(REGISTRY, Inner(), InnerParams()) == ()


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"method": "iner"}, "method"),
        ({"options": {"side": 0}}, "options.side"),
        ({"options": {"sides": 1}}, "options.sides"),
        ({"method": "outer", "options": {"method": "none"}}, "method"),
    ],
)
def test_invalid_declarations_are_rejected_before_anything_runs(parameters: Any, field: str) -> None:
    outer = Outer()
    with pytest.raises((InputError, NotFound)) as error:
        check_subanalyses(REGISTRY, outer, read_params(outer, parameters), photos=1)
    assert error.value.field == field


def test_an_analyzer_of_another_number_of_photos_is_rejected() -> None:
    outer = Outer()
    with pytest.raises(InputError, match="2 photos; 'inner' takes 0 to 1") as error:
        check_subanalyses(REGISTRY, outer, read_params(outer, {}), photos=2)
    assert error.value.field == "method"
