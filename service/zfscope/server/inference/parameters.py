"""Parameters of a request: plain values, and JSON as text where an analyzer takes more than those."""

import json
import math
from collections.abc import Mapping
from typing import Any

from zfscope.analysis.contract import Analyzer
from zfscope.analysis.schema import takes_text
from zfscope.errors import InputError
from zfscope.inference import inference_pb2 as pb

_HINTS = ("priority", "timeout")
"""What Triton's clients may tell its scheduler. Taken, and without effect: a deadline is the call's own."""


def check_no_parameters(request: pb.ModelInferRequest) -> None:
    """Raise InputError for parameters, which a model does not have."""
    for name in request.parameters:
        if name not in _HINTS:
            told = f"no parameter '{name:.80}'; a model takes none, an analyzer does: MODEL/ANALYZER"
            raise InputError(told, field="parameters")


def parameters_of(request: pb.ModelInferRequest, analyzer: Analyzer[Any]) -> dict[str, Any]:
    """Give the parameters of an analyzer, by name.

    Text is JSON where the parameter takes no text. Raises InputError for what has no value or is no JSON.
    """
    schema = analyzer.params.model_json_schema()
    fields = schema.get("properties", {})
    return {
        name: _value(name, value, fields, schema)
        for name, value in request.parameters.items()
        if name in fields or name not in _HINTS
    }


def _value(name: str, value: pb.InferParameter, fields: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    kind, field = value.WhichOneof("parameter_choice"), f"parameters.{name}"
    if kind is None:
        raise InputError(f"{name} has no value", field=field)
    given: Any = getattr(value, kind)
    if isinstance(given, float) and not math.isfinite(given):
        raise InputError(f"{name} is {given}, which is not finite", field=field)
    if kind != "string_param" or takes_text(fields.get(name, {"type": "string"}), schema):
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is '{given:.80}', which is no JSON: {error}", field=field) from error
