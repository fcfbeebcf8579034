"""CompareArchitectures on the wire: the request as the analyzer's parameters, its result as the response."""

import re

from zfscope.errors import InputError, ZfscopeError
from zfscope.server.analyze import Answer, Question, answer, by_field
from zfscope.server.backend import Backend
from zfscope.server.cancel import Cancel
from zfscope.server.services.analyzers import table_to_wire
from zfscope.v1 import analysis_pb2 as pb
from zfscope.wire.images import picture_to_wire, warnings_to_wire
from zfscope.wire.tensors import tensor_to_wire

_MOST = 8


def compare_architectures(
    backend: Backend, request: pb.CompareArchitecturesRequest, cancel: Cancel
) -> pb.CompareArchitecturesResponse:
    """Answer a CompareArchitectures. Blocks."""
    question = question_of(request)
    try:
        return response_of(answer(backend, question, cancel))
    except ZfscopeError as error:
        error.field = re.sub(r"^others\[(\d+)\]", lambda found: f"models[{int(found[1]) + 1}]", error.field)
        raise


def question_of(request: pb.CompareArchitecturesRequest) -> Question:
    """Read a request. Raises InputError, naming the field, for models that are not well named."""
    count = len(request.models)
    if not 2 <= count <= _MOST:
        raise InputError(f"models has {count}; name 2 to {_MOST} to compare", field="models")
    for place, model in enumerate(request.models):
        _check(model, f"models[{place}]")
    first, *others = request.models
    return Question(
        analyzer="compare-architectures",
        model=first.name,
        version=first.version if first.HasField("version") else None,
        images=by_field(request.images),
        parameters={"others": [_words(other) for other in others], "index": request.index},
        pictures=request.pictures if request.HasField("pictures") else True,
        tensors=request.tensors,
    )


def response_of(answered: Answer) -> pb.CompareArchitecturesResponse:
    """Write what the analyzer `compare-architectures` found."""
    analysis = answered.analysis
    picture = analysis.picture("architectures")
    return pb.CompareArchitecturesResponse(
        table=table_to_wire(analysis.tables["architectures"]),
        picture=None if picture is None else picture_to_wire(picture),
        warnings=warnings_to_wire(analysis.warnings),
        tensors={name: tensor_to_wire(tensor) for name, tensor in analysis.tensors.items()},
    )


def _check(model: pb.ModelRef, field: str) -> None:
    if not model.name:
        raise InputError(f"{field}.name is empty", field=f"{field}.name")
    if model.HasField("version") and model.version < 1:
        raise InputError(f"{field}.version is {model.version}; 1 or more", field=f"{field}.version")


def _words(model: pb.ModelRef) -> str:
    return f"{model.name}:{model.version}" if model.HasField("version") else model.name
