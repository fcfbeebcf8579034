"""Targets of requests, MODEL or MODEL/ANALYZER, and their parameters: plain values, or JSON as text."""

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
from zfscope.server.oip.inputs import INPUT, ImageInput
from zfscope.validation import takes_text

_VERSION = re.compile(r"[1-9][0-9]{0,8}")
# Scheduling hints of Triton's clients, accepted without effect: deadlines are those of gRPC.
_HINTS = ("priority", "timeout")

# Scale of the values of the input `input`: one of SCALES.
TENSOR_SCALE = "tensor_scale"


@dataclass(frozen=True)
class InferTarget:
    """A model and an analyzer, empty for the model itself. version: None for the newest."""

    model: str
    version: int | None
    analyzer: str

    def title(self, model: str) -> str:
        """Return the target's name, with the name of the model in the store."""
        return f"{model}/{self.analyzer}" if self.analyzer else model


def parse_infer_target(name: str, version: str, *, field: str) -> InferTarget:
    """Parse the model name and version of a request; empty means the default model and the newest version.

    field: field of the version, for messages. Raises InputError for an invalid version.
    """
    if version and not _VERSION.fullmatch(version):
        raise InputError(
            f"version '{version:.80}' is invalid; expected an integer of at least 1", field=field
        )
    model, _, analyzer = name.partition("/")
    return InferTarget(model, int(version) if version else None, analyzer)


def check_no_parameters(request: pb.ModelInferRequest) -> None:
    """Raise InputError for parameters that a model does not have."""
    for name in request.parameters:
        if name not in (*_HINTS, TENSOR_SCALE):
            others = f"available for models: {TENSOR_SCALE}; analyzers (MODEL/ANALYZER) have others"
            message = f"unknown parameter '{name:.80}'; {others}"
            raise InputError(message, field="parameters")


def parameters_of(request: pb.ModelInferRequest, analyzer: Analyzer[Any]) -> dict[str, Any]:
    """Return the parameters of an analyzer, by name.

    Text is parsed as JSON unless the parameter accepts text. Raises InputError for
    missing values or invalid JSON.
    """
    schema = analyzer.params.model_json_schema()
    fields = schema.get("properties", {})
    return {
        name: _value(name, value, fields, schema)
        for name, value in request.parameters.items()
        if name in fields or name not in (*_HINTS, TENSOR_SCALE)
    }


def scale_of(request: pb.ModelInferRequest, sent: ImageInput | None) -> TensorScale:
    """Return the scale of the input `input`: that of the request's parameter, or normalised.

    Raises InputError for an unknown scale, or one sent with encoded images.
    """
    if TENSOR_SCALE not in request.parameters:
        return "normalised"
    scale, field = request.parameters[TENSOR_SCALE].string_param, f"parameters.{TENSOR_SCALE}"
    if sent is None or sent.name != INPUT:
        raise InputError(f"{TENSOR_SCALE} applies to the input '{INPUT}' only; leave it out", field=field)
    if scale not in SCALES:
        raise InputError(f"{TENSOR_SCALE} is '{scale:.80}'; allowed: {', '.join(SCALES)}", field=field)
    return next(known for known in SCALES if known == scale)


def _value(name: str, value: pb.InferParameter, fields: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    kind, field = value.WhichOneof("parameter_choice"), f"parameters.{name}"
    if kind is None:
        raise InputError(f"{name} has no value", field=field)
    content: Any = getattr(value, kind)
    if isinstance(content, float) and not math.isfinite(content):
        raise InputError(f"{name} is {content}, which is not finite", field=field)
    if kind != "string_param" or takes_text(fields.get(name, {"type": "string"}), schema):
        return content
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name} is '{content:.80}', which is not valid JSON: {error}", field=field
        ) from error
