"""An analyzer through the Open Inference Protocol: photos and parameters in, pictures and numbers out."""

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
from zfscope.server.deadline import Cancel
from zfscope.server.oip.inputs import images_to_wire, sent_images
from zfscope.server.oip.outputs import Wanted, answer_to_wire, bytes_array, wanted_outputs
from zfscope.server.oip.parameters import TENSOR_SCALE, Target, parameters_of, scale_of
from zfscope.server.services.requests import prepared_by_field

PICTURES, ANALYSIS = "pictures", "analysis"
"""What comes unasked: the PNG files, and all that is no array as one JSON object."""


def infer(
    backend: Backend, request: pb.ModelInferRequest, target: Target, cancel: Cancel
) -> pb.ModelInferResponse:
    """Answer a ModelInfer of an analyzer. Blocks."""
    analyzer = backend.registry.analyzer(target.analyzer)
    wanted = wanted_outputs(request, (PICTURES, ANALYSIS))
    for output in wanted:
        if output.classes:
            told = f"'{output.name:.80}' has no classes"
            raise InputError(told, field=f"{output.field}.parameters")
    names, sent = {output.name for output in wanted}, sent_images(request)
    check_photos(analyzer, sent.images if sent else 0)
    own = TENSOR_SCALE in analyzer.params.model_fields  # a parameter of the analyzer's then, not of the input
    scale = "normalised" if own else scale_of(request, sent)
    call = AnalysisCall(
        target.analyzer,
        prepared_by_field(images_to_wire(sent, scale) if sent else {}, backend.image_limits),
        parameters_of(request, analyzer),
        model=target.model,
        version=target.version,
        pictures=PICTURES in names,
        tensors=not names <= {PICTURES, ANALYSIS},
        under="parameters",
    )
    outcome = analyze(backend, call, check_cancelled=cancel.check)
    model, given = outcome.model, _arrays(outcome.analysis)
    outputs = {output.name: _given(output, given) for output in wanted}
    return answer_to_wire(
        request,
        model=target.title(model.name),
        version=model.version,
        outputs=outputs,
        warnings=outcome.analysis.warnings,
    )


def _arrays(analysis: Analysis) -> dict[str, NDArray[Any]]:
    """Return an analysis as arrays by name; what would hide `pictures` or `analysis` is left out."""
    pictures = bytes_array([picture.png for picture in analysis.pictures])
    words = bytes_array([json.dumps(_words(analysis)).encode()])
    return {**analysis.tensors, PICTURES: pictures, ANALYSIS: words}


def _words(analysis: Analysis) -> dict[str, Any]:
    return {
        "numbers": dict(analysis.numbers),
        "tables": {
            name: {"columns": table.columns, "rows": table.rows} for name, table in analysis.tables.items()
        },
        "pictures": [{"name": picture.name, "scale": picture.scale} for picture in analysis.pictures],
        "tensors": list(analysis.tensors),
    }


def _given(output: Wanted, given: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    if output.name not in given:
        told = f"no output '{output.name:.80}'; this analysis has {', '.join(given)}"
        raise NotFound(told, field=f"{output.field}.name")
    return np.asarray(given[output.name])
