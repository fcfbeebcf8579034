"""Conversion between analysis requests and analyzer calls, and between outcomes and responses."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from zfscope.analysis.call import AnalysisCall, AnalysisHost, AnalysisOutcome, Prepare, analyze
from zfscope.answers import ARCHITECTURES, PROJECT
from zfscope.answers.analysis import Size, TypedAnalysis, rename_fields
from zfscope.answers.architectures import MAX_MODELS
from zfscope.errors import InputError, TooMuchWork
from zfscope.images.preprocess import Prepared
from zfscope.networks.spec import shapes
from zfscope.results import Analysis
from zfscope.server.backend import Backend
from zfscope.server.deadline import CallCancellation
from zfscope.store import Model
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.wire.convert import to_message, to_values
from zfscope.wire.images import image_from_wire
from zfscope.wire.models import reference_of, version_of

# Maximum number of photos in a request, independent of the analyzer.
MAX_IMAGES = 4096

# Fields of requests that are not parameters of the analyzer.
_COMMON = frozenset({"model", "version", "image", "images", "pictures", "tensors"})


def call_from_request(request: Any, analyzer: str, **fields: Any) -> AnalysisCall:
    """Return the analyzer call of a request. fields: fields of the call that override the request's.

    Raises InputError with the request field for an invalid value.
    """
    call = {
        "photos": _photos(request),
        "model": request.model,
        "version": version_of(request),
        "pictures": request.pictures if request.HasField("pictures") else True,
        "tensors": request.tensors,
    }
    return AnalysisCall(analyzer, **{**call, **fields})


def untyped_call(request: pb.AnalyzeRequest) -> AnalysisCall:
    """Return the analyzer call of an Analyze request. Raises InputError for parameters that are not JSON."""
    try:
        parameters = json_format.MessageToDict(request.parameters)
    except (json_format.SerializeToJsonError, ValueError) as error:
        raise InputError(f"parameters are not valid JSON: {error}", field="parameters") from error
    return call_from_request(request, request.analyzer, parameters=parameters, under="parameters")


def typed_call(typed: TypedAnalysis[Any], request: Any, max_units: int) -> AnalysisCall:
    """Return the analyzer call of a request to an analysis's dedicated RPC.

    max_units: maximum units per Project request. Raises InputError with the request field for an invalid
    value, and TooMuchWork for too many units.
    """
    if typed is ARCHITECTURES:
        return _architectures_call(request)
    # Check the number of units before converting them: a million would take half a gigabyte.
    admit = _check_units(request, max_units) if typed is PROJECT else None
    parameters = to_values(request, leave_out=_COMMON)
    return call_from_request(request, typed.analyzer, parameters=parameters, admit=admit)


def handle_typed(
    typed: TypedAnalysis[Any], backend: Backend, request: Message, cancel: CallCancellation
) -> Message:
    """Handle a call of an analysis's dedicated RPC. Blocks."""
    with rename_fields(typed.field_of):
        call = typed_call(typed, request, backend.settings.max_units)
        outcome = analyze(backend, call, check_cancelled=cancel.check)
    response = pb.DESCRIPTOR.services_by_name["AnalysisService"].methods_by_name[typed.rpc].output_type
    return to_message(GetMessageClass(response), typed.assemble(outcome.analyzed, outcome.sizes))


def analysis_to_wire(analysis: Analysis, model: Model, sizes: Sequence[Size] = ()) -> pb.Analysis:
    """Return a model's analysis as a message. sizes: (height, width) of each photo in pixels."""
    values = {"model": model.name, "version": model.version, "photos": sizes}
    return to_message(pb.Analysis, {**vars(analysis), **values})


def outcome_to_wire(outcome: AnalysisOutcome) -> pb.Analysis:
    """Return the outcome of an analyzer call as a message."""
    return analysis_to_wire(outcome.analysis, outcome.model, outcome.sizes)


def images_by_field(images: Sequence[image_pb2.Image]) -> dict[str, image_pb2.Image]:
    """Return the photos of a request by field: images[0], images[1], ...

    Raises InputError for more than MAX_IMAGES photos, before allocating memory for each.
    """
    if len(images) > MAX_IMAGES:
        raise InputError(
            f"{len(images):,} images; allowed: at most {MAX_IMAGES:,} per request", field="images"
        )
    return {f"images[{index}]": image for index, image in enumerate(images)}


def prepared_by_field(images: Mapping[str, image_pb2.Image]) -> dict[str, Prepare]:
    """Return functions that decode photos and prepare them for a model, by request field."""
    return {field: partial(_prepare, image, field) for field, image in images.items()}


def _prepare(image: image_pb2.Image, field: str, host: AnalysisHost, model: Model) -> Prepared:
    return image_from_wire(
        image, model, limits=host.image_limits, field=field, prepare=host.trace_cache.prepare
    )


def _photos(request: Any) -> dict[str, Prepare]:
    names = request.DESCRIPTOR.fields_by_name
    if "image" in names:
        return prepared_by_field({"image": request.image})
    return prepared_by_field(images_by_field(request.images)) if "images" in names else {}


def _check_units(request: pb.ProjectRequest, limit: int) -> Callable[[Model, Any], None]:
    """Raise TooMuchWork for too many units; return a check of `top`, which needs the model and parameters."""
    if request.units and request.HasField("top"):
        raise InputError(f"top is {request.top}, but units are set too; set only one of them", field="top")
    _check_count(len(request.units), limit, field="units")

    def check_top(model: Model, params: Any) -> None:
        maps = shapes(model.spec)[params.resolve(model.spec).layer][0]
        if request.top <= maps:  # the analyzer itself rejects a larger number
            _check_count(request.top, limit, field="top")

    return check_top


def _check_count(units: int, limit: int, *, field: str) -> None:
    if units > limit:
        raise TooMuchWork(f"{units} units; allowed: at most {limit} per request", field=field)


def _architectures_call(request: pb.CompareArchitecturesRequest) -> AnalysisCall:
    """Return the analyzer call of a CompareArchitectures request.

    The first model runs the analyzer; the others are its parameter. Raises InputError with the request field
    for a wrong number of models or an invalid model reference.
    """
    count = len(request.models)
    if not 2 <= count <= MAX_MODELS:
        raise InputError(f"number of models is {count}; allowed: 2 to {MAX_MODELS}", field="models")
    for index, model in enumerate(request.models):
        _check_reference(model, f"models[{index}]")
    first, *others = request.models
    return AnalysisCall(
        ARCHITECTURES.analyzer,
        _photos(request),
        {"others": [reference_of(other) for other in others], "index": request.index},
        model=first.name,
        version=version_of(first),
        pictures=request.pictures if request.HasField("pictures") else True,
        tensors=request.tensors,
    )


def _check_reference(model: pb.ModelRef, field: str) -> None:
    if not model.name:
        raise InputError(f"{field}.name is empty; set it to a model's name", field=f"{field}.name")
    if model.HasField("version") and model.version < 1:
        raise InputError(
            f"{field}.version is {model.version}; it must be at least 1", field=f"{field}.version"
        )
