"""Analyzers in the Open Inference Protocol: photos and parameters in, pictures and tensors out."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.call import AnalysisCall, analyze
from zfscope.analysis.run import check_photos
from zfscope.errors import InputError, NotFound
from zfscope.inference import inference_pb2 as pb
from zfscope.results import Analysis
from zfscope.server.backend import Backend
from zfscope.server.deadline import CallCancellation
from zfscope.server.oip.inputs import inputs_to_wire, parse_images
from zfscope.server.oip.outputs import RequestedOutput, bytes_array, requested_outputs, response_to_wire
from zfscope.server.oip.parameters import TENSOR_SCALE, InferTarget, parameters_of, scale_of
from zfscope.server.services.requests import prepared_by_field

# Default outputs: the PNG files, and numbers and tables as a JSON object.
PICTURES, ANALYSIS = "pictures", "analysis"


def infer(
    backend: Backend, request: pb.ModelInferRequest, target: InferTarget, cancel: CallCancellation
) -> pb.ModelInferResponse:
    """Handle a ModelInfer call for an analyzer. Blocks."""
    analyzer = backend.registry.analyzer(target.analyzer)
    requested = requested_outputs(request, (PICTURES, ANALYSIS))
    for output in requested:
        if output.classes:
            message = f"'{output.name:.80}' has no classes"
            raise InputError(message, field=f"{output.field}.parameters")
    names, sent = {output.name for output in requested}, parse_images(request)
    check_photos(analyzer, sent.images if sent else 0)
    own = TENSOR_SCALE in analyzer.params.model_fields  # then it is a parameter of the analyzer
    scale = "normalised" if own else scale_of(request, sent)
    call = AnalysisCall(
        target.analyzer,
        prepared_by_field(inputs_to_wire(sent, scale) if sent else {}),
        parameters_of(request, analyzer),
        model=target.model,
        version=target.version,
        pictures=PICTURES in names,
        tensors=not names <= {PICTURES, ANALYSIS},
        under="parameters",
    )
    outcome = analyze(backend, call, check_cancelled=cancel.check)
    model, arrays = outcome.model, _arrays(outcome.analysis)
    outputs = {output.name: _select(output, arrays) for output in requested}
    return response_to_wire(
        request,
        model=target.title(model.name),
        version=model.version,
        outputs=outputs,
        warnings=outcome.analysis.warnings,
    )


def _arrays(analysis: Analysis) -> dict[str, NDArray[Any]]:
    """Return an analysis as arrays by name; tensors named `pictures` or `analysis` are left out."""
    pictures = bytes_array([picture.png for picture in analysis.pictures])
    values = bytes_array([json.dumps(_json_values(analysis)).encode()])
    return {**analysis.tensors, PICTURES: pictures, ANALYSIS: values}


def _json_values(analysis: Analysis) -> dict[str, Any]:
    return {
        "numbers": dict(analysis.numbers),
        "tables": {
            name: {"columns": table.columns, "rows": table.rows} for name, table in analysis.tables.items()
        },
        "pictures": [{"name": picture.name, "scale": picture.scale} for picture in analysis.pictures],
        "tensors": list(analysis.tensors),
    }


def _select(output: RequestedOutput, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    if output.name not in arrays:
        message = f"output '{output.name:.80}' not found; available: {', '.join(arrays)}"
        raise NotFound(message, field=f"{output.field}.name")
    return np.asarray(arrays[output.name])
