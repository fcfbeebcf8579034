"""Running an analyzer: its parameters read, its cost known, and what it gives checked."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from zfscope.analysis.contract import Analysis, Analyzer, Context, Picture, Table
from zfscope.errors import InputError, TooMuchWork, ZfscopeError
from zfscope.store import Model

DTYPES = ("uint8", "int64", "float16", "float32")
"""Types of the tensors that an analysis may hold."""


class BadAnalysis(Exception):
    """An analyzer gave something that an analysis may not hold: a fault of the analyzer's."""


def read_params(analyzer: Analyzer[Any], values: Mapping[str, Any], *, under: str = "") -> BaseModel:
    """Read parameters by name. Raises InputError with everything that is wrong, field by field.

    under: the field that holds the parameters, to be named in front of theirs.
    """
    try:
        params: BaseModel = analyzer.params.model_validate(values, from_attributes=True)
    except ValidationError as error:
        raise input_error(error, under=under) from error
    return params


def input_error(error: ValidationError, *, under: str = "") -> InputError:
    """Say what is wrong of parameters: each field (`units[2].y`), its value, and what is allowed."""
    faults = {
        _path((under, *fault["loc"])): f"{fault['input']!r:.80}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    }
    field, words = next(iter(faults.items()))
    message = f"{field} is {words}" if field else words
    return InputError(message, field=field, fields=faults)


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def check_photos(analyzer: Analyzer[Any], count: int) -> None:
    """Raise InputError unless the analyzer takes so many photos."""
    fewest, most = analyzer.photos
    if not fewest <= count <= most:
        allowed = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise InputError(f"{count} photos; '{analyzer.name}' takes {allowed}", field="images")


def check_cost(
    analyzer: Analyzer[Any], model: Model, params: BaseModel, budget: int, *, under: str = ""
) -> None:
    """Raise TooMuchWork where the analysis would cost more forward passes than the budget.

    under: the field that holds the parameters, to be named.
    """
    cost = analyzer.cost(model, params)
    if cost > budget:
        raise TooMuchWork(
            f"'{analyzer.name}' would cost {cost:,} forward passes with these parameters; "
            f"one request may cost {budget:,}",
            field=under,
        )


def default_cost(analyzer: Analyzer[Any], model: Model) -> int | None:
    """Give the cost with default parameters, None where there are none or they do not fit the model."""
    try:
        return analyzer.cost(model, analyzer.params())
    except (ValidationError, ZfscopeError):
        return None


def run(analyzer: Analyzer[Any], context: Context, params: BaseModel) -> Analysis:
    """Analyze, and give what was asked for.

    Raises what the analyzer raises, and BadAnalysis for a result that cannot be given to anyone.
    """
    context.check_cancelled()
    return given(analyzer, context, analyzer.analyze(context, params))


def given(analyzer: Analyzer[Any], context: Context, result: Analysis) -> Analysis:
    """Leave out what the caller did not want, and check the rest. Raises BadAnalysis."""
    for fault in _faults(result):
        raise BadAnalysis(f"analyzer '{analyzer.name}' gave {fault}")
    return replace(
        result,
        tensors=result.tensors if context.tensors else {},
        pictures=result.pictures if context.pictures else (),
    )


def _faults(result: Any) -> list[str]:
    if not isinstance(result, Analysis):
        return [f"{type(result).__name__}, which is no Analysis"]
    faults = [fault for name, tensor in result.tensors.items() if (fault := _tensor_fault(name, tensor))]
    faults += [
        f"the number '{name}' as {value!r}, which is not finite"
        for name, value in result.numbers.items()
        if not np.isfinite(value)
    ]
    faults += [f"{picture!r}, which is no Picture" for picture in result.pictures if not _is_picture(picture)]
    faults += [f"no Table as '{name}'" for name, table in result.tables.items() if not _is_table(table)]
    return faults


def _tensor_fault(name: str, tensor: Any) -> str:
    if not isinstance(tensor, np.ndarray) or tensor.dtype.name not in DTYPES:
        kind = getattr(tensor, "dtype", type(tensor).__name__)
        return f"the tensor '{name}' as {kind}; allowed are {', '.join(DTYPES)}"
    if not np.isfinite(tensor).all():
        return f"the tensor '{name}' with values that are not finite"
    return ""


def _is_picture(picture: object) -> bool:
    return isinstance(picture, Picture) and picture.png.startswith(b"\x89PNG")


def _is_table(table: object) -> bool:
    return isinstance(table, Table) and all(len(row) == len(table.columns) for row in table.rows)


class Meter:
    """How far an analysis is, and how long it will still take: a share that never falls."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._share = 0.0

    def read(self, share: float) -> tuple[float, float | None]:
        """Give the share (0..1), and the seconds that are left, None while nothing is done."""
        self._share = max(self._share, min(max(share, 0.0), 1.0))
        took = time.monotonic() - self._started
        return self._share, took * (1 - self._share) / self._share if self._share else None
