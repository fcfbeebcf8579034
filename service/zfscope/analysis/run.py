"""Execution of an analyzer: read its parameters, check its cost and validate its result."""

import operator
import re
import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from zfscope.analysis.check import validate_analysis
from zfscope.analysis.contract import Analysis, Analyzer, Context
from zfscope.analysis.faults import describe_exception, translate_exceptions
from zfscope.analysis.registry import RegisteredAnalyzer
from zfscope.cancellation import interruptible
from zfscope.choices import coarsest
from zfscope.errors import AnalyzerFailed, BadAnalysis, InputError, TooMuchWork, ZfscopeError
from zfscope.results import merge_notices
from zfscope.store import Model
from zfscope.validation import UNKNOWN, path_of, shown_value, validation_faults

# Costs are int64 on the wire.
_MAX_PASSES = 2**63 - 1
# Computes the cost of an analysis in forward passes.
CostOf = Callable[[Analyzer[Any], Model, BaseModel], int]


def read_params(analyzer: Analyzer[Any], values: Mapping[str, Any], *, under: str = "") -> BaseModel:
    """Parse and validate parameters. Raises InputError with a message for each invalid field.

    under: request field that contains the parameters, prepended to their names.
    """
    try:
        params: BaseModel = analyzer.params.model_validate(values, from_attributes=True)
    except ValidationError as error:
        raise input_error(error, analyzer.params, under=under) from error
    return params


def input_error(error: ValidationError, params: type[BaseModel], *, under: str = "") -> InputError:
    """Return the error for invalid parameters: for each field, its value and what is allowed."""
    errors = list(validation_faults(error, params))
    inside = {fault["loc"][:depth] for fault, _ in errors for depth in range(len(fault["loc"]))}
    # pydantic also reports a list with an invalid item as too short.
    errors = [
        (fault, text) for fault, text in errors if fault["type"] != "too_short" or fault["loc"] not in inside
    ]
    faults = {path_of((under, *fault["loc"])): _with_value(fault, text) for fault, text in errors}
    field, text = next(iter(faults.items()))
    return InputError(f"{field}{_link(*errors[0])}{text}" if field else text, field=field, fields=faults)


def _with_value(fault: ErrorDetails, text: str) -> str:
    if fault["type"] == "missing":
        return "missing; it is required"
    value = "" if text.startswith(UNKNOWN) else shown_value(fault["input"])
    return f"{value}: {text}" if value else text


def _link(fault: ErrorDetails, text: str) -> str:
    """Return what stands between a field and the message about it."""
    if text.startswith(UNKNOWN):
        return " "
    return " is " if fault["type"] == "missing" or shown_value(fault["input"]) else " is invalid: "


@contextmanager
def translate_errors(registered: RegisteredAnalyzer, *, under: str = "") -> Iterator[None]:
    """Translate an analyzer's exceptions into errors the caller can act on.

    under: request field that contains the parameters, prepended to their names in errors; other fields, such
    as `images[0]`, are unchanged. Errors of zfscope pass through; any other exception, including SystemExit,
    becomes AnalyzerFailed, naming analyzer and package.
    """
    refusal: ZfscopeError | None = None
    with translate_exceptions(partial(_failed, registered)):
        try:
            yield
        except ZfscopeError as error:
            refusal = error
    if refusal:
        names = _names(registered.analyzer.params) if under else ()
        refusal.field = _under(under, refusal.field, names)
        refusal.fields = {_under(under, field, names): text for field, text in refusal.fields.items()}
        raise refusal


def _failed(registered: RegisteredAnalyzer, error: BaseException) -> AnalyzerFailed:
    return AnalyzerFailed(
        f"analyzer '{registered.name}' ({registered.package}) failed: {describe_exception(error)}; "
        "this is a bug in the package",
        analyzer=registered.name,
        package=registered.distribution,
        version=registered.version,
    )


def _names(params: type[BaseModel]) -> set[str | None]:
    known = params.model_fields
    return {*known, *(field.alias for field in known.values())}


def _under(under: str, field: str, names: Collection[str | None]) -> str:
    return f"{under}.{field}" if re.split(r"[.\[]", field)[0] in names else field


def check_photos(analyzer: Analyzer[Any], count: int) -> None:
    """Raise InputError unless the analyzer accepts the given number of photos."""
    fewest, most = analyzer.photos
    if not fewest <= count <= most:
        allowed = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise InputError(
            f"{count} photo{'' if count == 1 else 's'}; '{analyzer.name}' takes {allowed}", field="images"
        )


def check_cost(
    analyzer: Analyzer[Any],
    model: Model,
    params: BaseModel,
    budget: int | None,
    *,
    photos: int,
    under: str = "",
    cost: CostOf | None = None,
) -> None:
    """Raise TooMuchWork if the analysis would cost more forward passes than the budget.

    budget: maximum cost; None for no limit, but an invalid cost is still an error. photos: number of photos
    in the request. under: request field that contains the parameters, named in the error. cost: by default
    `cost_of`.
    """
    each = (cost or cost_of)(analyzer, model, params)
    whole = each * max(photos, 1)
    if budget is not None and whole > budget:
        of_which = f", {each:,} for each photo" if photos else ""
        raise TooMuchWork(
            f"'{analyzer.name}' would cost {whole:,} forward passes with these parameters{of_which}; "
            f"allowed: at most {budget:,} per request",
            field=under,
        )


def cost_of(analyzer: Analyzer[Any], model: Model, params: BaseModel) -> int:
    """Return the cost per photo in forward passes. Raises BadAnalysis unless it is a non-negative integer."""
    cost: Any = analyzer.cost(model, params)
    try:
        passes = operator.index(cost)
    except TypeError:
        passes = -1
    if not 0 <= passes <= _MAX_PASSES:
        allowed = f"an int from 0 to {_MAX_PASSES:,}"
        # reprlib truncates long values and survives a failing repr; Python refuses to print huge ints.
        value = "an integer of over 64 bits" if abs(passes) >= 2**64 else reprlib.repr(cost)
        shown = f"{value} ({type(cost).__name__})"
        raise BadAnalysis(f"cost() returned {shown}; it must return {allowed}")
    return passes


def default_cost(analyzer: Analyzer[Any], model: Model, cost: CostOf | None = None) -> int | None:
    """Return the cost per photo with default parameters; None if they are missing or do not fit the model.

    cost: by default `cost_of`.
    """
    try:
        with translate_exceptions(lambda error: BadAnalysis(describe_exception(error))):
            return (cost or cost_of)(analyzer, model, analyzer.params())
    except BadAnalysis:  # reported by calls of this analyzer; must not break the list of all
        return None


def run(analyzer: Analyzer[Any], context: Context, params: BaseModel) -> Analysis:
    """Run an analyzer and return its validated result, with the requested parts only.

    Drawing with `zfscope.images` also stops when the call is cancelled. Raises the analyzer's exceptions, and
    BadAnalysis for an invalid result.
    """
    context.check_cancelled()
    with interruptible(context.check_cancelled):
        return validate_result(context, analyzer.analyze(context, params))


def validate_result(context: Context, result: Analysis) -> Analysis:
    """Validate a result, drop parts that were not requested, and add the warnings of model and photos.

    A precision finer than that of traces is replaced by it. Raises BadAnalysis.
    """
    analysis = validate_analysis(result)
    noticed = (*context.noticed, *(notice for image in context.images for notice in image.warnings))
    return replace(
        analysis,
        warnings=merge_notices((*noticed, *analysis.warnings)),
        tensors=analysis.tensors if context.tensors else {},
        pictures=analysis.pictures if context.pictures else (),
        precision=coarsest(analysis.precision, context.trace_precision).value,
    )
