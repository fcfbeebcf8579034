"""Analyses that an analyzer runs on its own photos: validation, cost and execution."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from zfscope.analysis.contract import Analysis, Analyzer, Context, Subanalysis
from zfscope.analysis.needs import check_available
from zfscope.analysis.registry import RegisteredAnalyzer, Registry, load_analyzers
from zfscope.analysis.run import check_photos, cost_of, read_params, run, translate_errors
from zfscope.errors import InputError, NotFound
from zfscope.store import Manifest, Model


def declared(analyzer: Analyzer[Any], params: BaseModel) -> Sequence[Subanalysis]:
    """Return the analyses that an analyzer runs with these parameters; most run none."""
    subanalyses = getattr(analyzer, "subanalyses", None)
    return tuple(subanalyses(params)) if subanalyses else ()


def check_subanalyses(registry: Registry, analyzer: Analyzer[Any], params: BaseModel, *, photos: int) -> None:
    """Raise InputError or NotFound, naming the parameter, unless all declared analyses can run.

    photos: number of photos of each.
    """
    for other in declared(analyzer, params):
        registered = _find(registry, other)
        with _named_by(other.field):
            check_photos(registered.analyzer, photos)
        inner = read_params(registered.analyzer, other.parameters, under=other.under)
        check_subanalyses(registry, registered.analyzer, inner, photos=photos)


def check_needs(registry: Registry, analyzer: Analyzer[Any], manifest: Manifest, params: BaseModel) -> None:
    """Raise InputError unless a model has what an analyzer and the analyses that it has to run need.

    The field is `model`, or the parameter that names the other analyzer.
    """
    check_available(analyzer, manifest, field="model")
    for other in declared(analyzer, params):
        if not other.optional:
            registered = _find(registry, other)
            check_available(registered.analyzer, manifest, field=other.field)
            with translate_errors(registered, under=other.under):
                inner = read_params(registered.analyzer, other.parameters)
                check_needs(registry, registered.analyzer, manifest, inner)


def total_cost(registry: Registry, analyzer: Analyzer[Any], model: Model, params: BaseModel) -> int:
    """Return the cost per photo in forward passes, with that of the analyses that the analyzer runs."""
    total = cost_of(analyzer, model, params)
    for other in declared(analyzer, params):
        registered = _find(registry, other)
        with translate_errors(registered, under=other.under):
            inner = read_params(registered.analyzer, other.parameters)
            total += other.times * total_cost(registry, registered.analyzer, model, inner)
    return total


def analyzer_names(registry: Registry, analyzer: Analyzer[Any], params: BaseModel) -> tuple[str, ...]:
    """Return the names of the analyzers that an analysis runs, without duplicates. Raises NotFound."""
    names: dict[str, None] = {}
    for other in declared(analyzer, params):
        found = _find(registry, other).analyzer
        inner = read_params(found, other.parameters, under=other.under)
        names |= dict.fromkeys((other.analyzer, *analyzer_names(registry, found, inner)))
    return tuple(names)


def run_subanalysis(
    context: Context, other: Subanalysis, *, class_index: int | None, share: tuple[float, float]
) -> Analysis:
    """Run an analysis within another one; see `Context.analyze`."""
    registry = load_analyzers() if context.analyzers is None else context.analyzers
    registered = _find(registry, other)
    analyzer, first, last = registered.analyzer, *share
    parameters = dict(other.parameters)
    if class_index is not None:
        parameters = {
            **class_parameters(analyzer.params, context.model, class_index, parameters),
            **parameters,
        }
    params = read_params(analyzer, parameters, under=other.under)
    check_available(analyzer, context.model.manifest, field=other.field)

    def progress(fraction: float, _: object = None) -> None:
        if last > first:
            context.progress(first + (last - first) * fraction, None)

    inner = replace(context, pictures=False, tensors=True, progress=progress, analyzers=registry)
    with translate_errors(registered, under=other.under):
        result = run(analyzer, inner, params)
    named = tuple(
        replace(notice, field=f"{other.under}.{notice.field}")
        if notice.field in analyzer.params.model_fields
        else notice
        for notice in result.warnings
    )
    return replace(result, warnings=named)


def class_parameters(
    params: type[BaseModel], model: Model, index: int, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parameters by which an analyzer takes a class; none if `given` already selects one."""
    names, label = params.model_fields, model.labels[index].id
    if "label" in names:
        return {} if "label" in given else {"label": label}
    if "classes" in names:
        return {} if "classes" in given else {"classes": [label]}
    if {"layer", "units"} <= names.keys() and not {"layer", "units", "top"} & given.keys():
        return {"layer": model.spec.scores, "units": [{"map": index}]}
    return {}


def _find(registry: Registry, other: Subanalysis) -> RegisteredAnalyzer:
    with _named_by(other.field):
        return registry.registered(other.analyzer)


@contextmanager
def _named_by(field: str) -> Iterator[None]:
    """Set the field of errors to the parameter that names the analyzer."""
    try:
        yield
    except (InputError, NotFound) as error:
        error.field = field
        raise
