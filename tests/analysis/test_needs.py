"""Needs of analyzers: what models lack, in one sentence, before anything runs."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Never

import pytest
from pydantic import BaseModel

from tests.support.opaque_models import add_opaque_model
from zfscope.analysis.call import AnalysisCall, analyze
from zfscope.analysis.contract import Subanalysis
from zfscope.analysis.needs import Need, needs_of, unavailable_reason
from zfscope.analysis.registry import RegisteredAnalyzer, Registry, load_analyzers
from zfscope.analysis.subanalysis import check_needs
from zfscope.errors import InputError
from zfscope.store import Model

NO_NETWORK = (
    r"needs a network of layers to walk; model 'vit' version 1 is an opaque graph, not a list of layers"
)


class NoParams(BaseModel, extra="forbid"):
    pass


class Plain:
    """An analyzer that declares no needs."""

    name = "plain"
    summary = "Does nothing"
    api_version = 2
    photos = (0, 1)
    params: Any = NoParams

    def cost(self, model: Any, params: Any) -> int:
        return 0

    def analyze(self, context: Any, params: Any) -> Never:
        raise AssertionError("it must not run")


class OuterParams(BaseModel, extra="forbid"):
    method: str = "plain"
    options: dict[str, Any] = {}
    optional: bool = False


class Outer(Plain):
    """Needs nothing itself, and runs another analyzer."""

    name = "outer"
    params = OuterParams
    needs = ()

    def subanalyses(self, params: OuterParams) -> Sequence[Subanalysis]:
        return (Subanalysis(params.method, params.options, "method", "options", optional=params.optional),)


REGISTRY = Registry([RegisteredAnalyzer(kind(), "p", "1") for kind in (Plain, Outer)])


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return add_opaque_model(tmp_path_factory.mktemp("store"), "vit")


def refuse(*_: object) -> Never:
    raise AssertionError("it must not be called")


def with_needs(*needs: Need) -> Any:
    return SimpleNamespace(name="some", needs=needs)


def test_an_analyzer_without_needs_counts_as_needing_a_network(vit: Model) -> None:
    assert needs_of(Plain()) == (Need.network,)
    assert needs_of(Outer()) == ()
    reason = unavailable_reason(Plain(), vit.manifest)
    assert reason.startswith("'plain' needs a network of layers to walk; model 'vit' version 1 is an opaque")
    assert vit.manifest.graph
    assert reason.endswith(f"not a list of layers ({vit.manifest.graph.obstacle})")


def test_needs_are_in_one_order_without_duplicates() -> None:
    assert needs_of(with_needs(Need.outputs, Need.network, Need.outputs)) == (Need.network, Need.outputs)


def test_an_opaque_model_has_scores_and_outputs(vit: Model) -> None:
    assert unavailable_reason(with_needs(Need.outputs, Need.scores), vit.manifest) == ""


def test_a_model_that_ends_in_feature_maps_has_no_scores() -> None:
    manifest: Any = SimpleNamespace(
        title="model 'x'", graph=None, labels=(), network=SimpleNamespace(scores="conv2")
    )
    assert unavailable_reason(with_needs(Need.network, Need.outputs), manifest) == ""
    assert unavailable_reason(with_needs(Need.scores), manifest) == (
        "'some' needs class scores; model 'x' has no classes: it ends in the feature maps of 'conv2'"
    )


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "method"),
        ({"method": "outer"}, "options.method"),
        ({"method": "outer", "options": {"method": "outer"}}, "options.options.method"),
    ],
)
def test_analyses_that_an_analysis_runs_are_checked_too(vit: Model, parameters: Any, field: str) -> None:
    with pytest.raises(InputError, match=f"^'plain' {NO_NETWORK}") as error:
        check_needs(REGISTRY, Outer(), vit.manifest, OuterParams(**parameters))
    assert error.value.field == field


def test_optional_analyses_do_not_prevent_the_outer_one(vit: Model) -> None:
    check_needs(REGISTRY, Outer(), vit.manifest, OuterParams(optional=True))


BUILT_IN = {
    "project": "network",
    "evolve": "network",
    "compare-architectures": "network",
    "occlude": "scores outputs",
    "faithfulness": "scores outputs",
    "invariance": "scores outputs",
    "correspond": "outputs",
    "activations": "outputs",
    "top-k": "outputs",
    "explain": "scores",
}


def test_built_in_analyzers_declare_their_needs() -> None:
    built_in = load_analyzers(BUILT_IN)
    assert {name: " ".join(needs_of(built_in[name].analyzer)) for name in built_in} == BUILT_IN
    assert all(hasattr(registered.analyzer, "needs") for registered in built_in.values())


@pytest.mark.parametrize(
    ("analyzer", "parameters", "field"),
    [("project", {}, "model"), ("faithfulness", {"method": "project"}, "parameters.method")],
)
def test_a_request_is_rejected_before_a_photo_is_decoded(
    vit: Model, analyzer: str, parameters: Any, field: str
) -> None:
    host: Any = SimpleNamespace(
        registry=load_analyzers(), load_model=lambda *_: SimpleNamespace(model=vit), max_passes=None
    )
    call = AnalysisCall(analyzer, {"images[0]": refuse}, parameters, under="parameters")
    with pytest.raises(InputError, match=f"^'project' {NO_NETWORK}") as error:
        analyze(host, call, check_cancelled=lambda: None)
    assert error.value.field == field
