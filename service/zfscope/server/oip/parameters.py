"""What a request asks for: a model or MODEL/ANALYZER, and parameters, plain values or JSON as text."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zfscope.analysis.contract import Analyzer
from zfscope.errors import InputError
from zfscope.images.tensors import SCALES, TensorScale
from zfscope.inference import inference_pb2 as pb
from zfscope.server.oip.inputs import INPUT, Sent
from zfscope.validation import takes_text

_VERSION = re.compile(r"[1-9][0-9]{0,8}")
# Hints of Triton's clients for its scheduler. Accepted without effect: a deadline is the call's own.
_HINTS = ("priority", "timeout")

# What the numbers of the input `input` are: one of SCALES.
TENSOR_SCALE = "tensor_scale"


@dataclass(frozen=True)
class Target:
    """A model, and the analyzer that is meant, empty for the model itself. version: None means the newest."""

    model: str
    version: int | None
    analyzer: str

    def title(self, model: str) -> str:
        """Write it as it is called, `model` being the name that the store has."""
        return f"{model}/{self.analyzer}" if self.analyzer else model


def target_of(name: str, version: str, *, field: str) -> Target:
    """Read a name and a version of a request: no name means the default model, no version the newest.

    field: that of the version, for messages. Raises InputError for a version that is no number.
    """
    if version and not _VERSION.fullmatch(version):
        raise InputError(f"'{version:.80}' is no version; it is a whole number of 1 or more", field=field)
    model, _, analyzer = name.partition("/")
    return Target(model, int(version) if version else None, analyzer)


def check_no_parameters(request: pb.ModelInferRequest) -> None:
    """Raise InputError for parameters, which a model does not have."""
    for name in request.parameters:
        if name not in (*_HINTS, TENSOR_SCALE):
            others = f"a model takes {TENSOR_SCALE}, an analyzer its own: MODEL/ANALYZER"
            told = f"no parameter '{name:.80}'; {others}"
            raise InputError(told, field="parameters")


def parameters_of(request: pb.ModelInferRequest, analyzer: Analyzer[Any]) -> dict[str, Any]:
    """Return the parameters of an analyzer, by name.

    Text is JSON where the parameter takes no text. Raises InputError for what has no value or is no JSON.
    """
    schema = analyzer.params.model_json_schema()
    fields = schema.get("properties", {})
    return {
        name: _value(name, value, fields, schema)
        for name, value in request.parameters.items()
        if name in fields or name not in (*_HINTS, TENSOR_SCALE)
    }


def scale_of(request: pb.ModelInferRequest, sent: Sent | None) -> TensorScale:
    """Return what the numbers of `input` are: the request's parameter, normalised without one.

    Raises InputError for a word that is not a scale, and for one of images that come as files.
    """
    if TENSOR_SCALE not in request.parameters:
        return "normalised"
    word, field = request.parameters[TENSOR_SCALE].string_param, f"parameters.{TENSOR_SCALE}"
    if sent is None or sent.name != INPUT:
        raise InputError(f"{TENSOR_SCALE} is for the input '{INPUT}' alone; leave it out", field=field)
    if word not in SCALES:
        raise InputError(f"{TENSOR_SCALE} is '{word:.80}'; allowed are {', '.join(SCALES)}", field=field)
    return next(scale for scale in SCALES if scale == word)


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
