"""Requests for analyses as calls of an analyzer, and their outcomes as messages, typed or not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from zfscope.analysis.call import AnalysisCall, AnalysisOutcome, Prepare, analyze
from zfscope.answers import ARCHITECTURES, PROJECT
from zfscope.answers.analysis import Size, TypedAnalysis, rename_fields
from zfscope.answers.architectures import MAX_MODELS
from zfscope.errors import InputError, TooMuchWork
from zfscope.images.limits import DecodeLimits
from zfscope.results import Analysis
from zfscope.server.backend import Backend
from zfscope.server.deadline import CallCancellation
from zfscope.store import Model
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.wire.convert import to_message, to_values
from zfscope.wire.images import image_from_wire
from zfscope.wire.models import title_of, version_of

# Photos of any request, whatever its analyzer takes.
MAX_IMAGES = 4096

# Fields of requests that are not parameters of the analyzer.
_COMMON = frozenset({"model", "version", "image", "images", "pictures", "tensors"})


def call_from_request(request: Any, limits: DecodeLimits, analyzer: str, **fields: Any) -> AnalysisCall:
    """Return the call that a request makes of an analyzer. fields: of the call, where they differ.

    Raises InputError, naming the field, for a value that is not allowed.
    """
    call = {
        "photos": _photos(request, limits),
        "model": request.model,
        "version": version_of(request),
        "pictures": request.pictures if request.HasField("pictures") else True,
        "tensors": request.tensors,
    }
    return AnalysisCall(analyzer, **{**call, **fields})


def untyped_call(request: pb.AnalyzeRequest, limits: DecodeLimits) -> AnalysisCall:
    """Return the call of an Analyze. Raises InputError for parameters that are not JSON."""
    try:
        parameters = json_format.MessageToDict(request.parameters)
    except (json_format.SerializeToJsonError, ValueError) as error:
        raise InputError(f"the parameters hold what JSON cannot: {error}", field="parameters") from error
    return call_from_request(request, limits, request.analyzer, parameters=parameters, under="parameters")


def typed_call(typed: TypedAnalysis[Any], request: Any, limits: DecodeLimits, max_units: int) -> AnalysisCall:
    """Return the call of an RPC that an analysis has of its own.

    max_units: that one Project may ask for. Raises InputError, naming the field, for a value that is not
    allowed, and TooMuchWork for too many units.
    """
    if typed is ARCHITECTURES:
        return _architectures_call(request, limits)
    # The number of units is checked first: values made of a million of them take half a gigabyte.
    admit = _check_units(request, max_units) if typed is PROJECT else None
    parameters = to_values(request, leave_out=_COMMON)
    return call_from_request(request, limits, typed.analyzer, parameters=parameters, admit=admit)


def answer_typed(
    typed: TypedAnalysis[Any], backend: Backend, request: Message, cancel: CallCancellation
) -> Message:
    """Answer an RPC that an analysis has of its own. Blocks."""
    with rename_fields(typed.field_of):
        call = typed_call(typed, request, backend.image_limits, backend.settings.max_units)
        outcome = analyze(backend, call, check_cancelled=cancel.check)
    response = pb.DESCRIPTOR.services_by_name["AnalysisService"].methods_by_name[typed.rpc].output_type
    return to_message(GetMessageClass(response), typed.assemble(outcome.analyzed, outcome.sizes))


def analysis_to_wire(analysis: Analysis, model: Model, sizes: Sequence[Size] = ()) -> pb.Analysis:
    """Return an analysis by a model as a message. sizes: of its photos, (height, width) in pixels."""
    values = {"model": model.name, "version": model.version, "photos": sizes}
    return to_message(pb.Analysis, {**vars(analysis), **values})


def outcome_to_wire(outcome: AnalysisOutcome) -> pb.Analysis:
    """Return the outcome of a call as a message."""
    return analysis_to_wire(outcome.analysis, outcome.model, outcome.sizes)


def images_by_field(images: Sequence[image_pb2.Image]) -> dict[str, image_pb2.Image]:
    """Return the photos of a request that takes several by their fields: images[0], images[1] ...

    Raises InputError for more than any analyzer can be meant to take, before memory is spent on each.
    """
    if len(images) > MAX_IMAGES:
        raise InputError(f"images has {len(images):,}; a request has {MAX_IMAGES:,} at most", field="images")
    return {f"images[{index}]": image for index, image in enumerate(images)}


def prepared_by_field(images: Mapping[str, image_pb2.Image], limits: DecodeLimits) -> dict[str, Prepare]:
    """Return functions that decode photos and prepare them for a model, by the photos' fields."""

    def prepare(image: image_pb2.Image, field: str) -> Prepare:
        return lambda model: image_from_wire(image, model, limits=limits, field=field)

    return {field: prepare(image, field) for field, image in images.items()}


def _photos(request: Any, limits: DecodeLimits) -> dict[str, Prepare]:
    names = request.DESCRIPTOR.fields_by_name
    if "image" in names:
        return prepared_by_field({"image": request.image}, limits)
    return prepared_by_field(images_by_field(request.images), limits) if "images" in names else {}


def _check_units(request: pb.ProjectRequest, most: int) -> Callable[[Model, Any], None]:
    """Raise TooMuchWork for more units than one Project may ask for; return the same check of `top`."""
    if request.units and request.HasField("top"):
        raise InputError(f"top is {request.top} and units are given too; give one of the two", field="top")
    _check_count(len(request.units), most, field="units")

    def check_top(model: Model, params: Any) -> None:
        maps = model.network.shapes.get(params.layer, (0,))[0]
        if request.top <= maps:  # of more, the analyzer says how many maps there are
            _check_count(request.top, most, field="top")

    return check_top


def _check_count(units: int, most: int, *, field: str) -> None:
    if units > most:
        raise TooMuchWork(f"{units} units; one request may ask for {most} at most", field=field)


def _architectures_call(request: pb.CompareArchitecturesRequest, limits: DecodeLimits) -> AnalysisCall:
    """Return the call of a CompareArchitectures: the first model is asked, with the others as a parameter.

    Raises InputError, naming the field, for models that are not well named.
    """
    count = len(request.models)
    if not 2 <= count <= MAX_MODELS:
        raise InputError(f"models has {count}; allowed are 2 to {MAX_MODELS} models", field="models")
    for index, model in enumerate(request.models):
        _check_named(model, f"models[{index}]")
    first, *others = request.models
    return AnalysisCall(
        ARCHITECTURES.analyzer,
        _photos(request, limits),
        {"others": [title_of(other) for other in others], "index": request.index},
        model=first.name,
        version=version_of(first),
        pictures=request.pictures if request.HasField("pictures") else True,
        tensors=request.tensors,
    )


def _check_named(model: pb.ModelRef, field: str) -> None:
    if not model.name:
        raise InputError(f"{field}.name is empty", field=f"{field}.name")
    if model.HasField("version") and model.version < 1:
        raise InputError(f"{field}.version is {model.version}; 1 or more", field=f"{field}.version")
