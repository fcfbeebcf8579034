"""Correspond on the wire: the request as the analyzer's parameters, its result as the response."""

from typing import Any

from zfscope.server.analyze import Answer, Question, answer, by_field, question_about
from zfscope.server.backend import Backend
from zfscope.server.cancel import Cancel
from zfscope.v1 import analysis_pb2 as pb
from zfscope.wire.enums import enum_words
from zfscope.wire.images import picture_to_wire, sides_of, warnings_to_wire
from zfscope.wire.tensors import tensor_to_wire

_TENSORS = ("hamming", "boxes", "random-hamming", "random-boxes")


def correspond(backend: Backend, request: pb.CorrespondRequest, cancel: Cancel) -> pb.CorrespondResponse:
    """Answer a Correspond. Blocks."""
    return response_of(answer(backend, question_of(request), cancel))


def question_of(request: pb.CorrespondRequest) -> Question:
    """Read a request; what is unset gets the analyzer's default.

    Raises InputError, naming the field, for a value that is not allowed.
    """
    return question_about(request, "correspond", by_field(request.images), _parameters(request))


def response_of(answered: Answer) -> pb.CorrespondResponse:
    """Write what the analyzer `correspond` found."""
    analysis = answered.analysis
    picture = analysis.picture("correspondence")
    response = pb.CorrespondResponse(
        model=answered.model.name,
        version=answered.model.version,
        rows=[_row(record) for record in analysis.tables["correspondence"].records()],
        picture=None if picture is None else picture_to_wire(picture),
        warnings=warnings_to_wire(analysis.warnings),
    )
    for name in _TENSORS:
        if name in analysis.tensors:
            field = name.replace("-", "_")
            getattr(response, field).CopyFrom(tensor_to_wire(analysis.tensors[name]))
    return response


def _parameters(request: pb.CorrespondRequest) -> dict[str, Any]:
    values: dict[str, Any] = {"parts": [_part(part) for part in request.parts]}
    if request.layers:
        values["layers"] = list(request.layers)
    for name in ("random", "seed"):
        if request.HasField(name):
            values[name] = getattr(request, name)
    return values | enum_words(request, {"fill": pb.FillColour.DESCRIPTOR})


def _row(record: dict[str, Any]) -> pb.PartCorrespondence:
    return pb.PartCorrespondence(
        part=record["part"],
        layer=record["layer"],
        mean=record["mean"],
        deviation=record["deviation"],
        pairs=record["pairs"],
    )


def _part(part: pb.Part) -> dict[str, Any]:
    return {"name": part.name, "boxes": [sides_of(box) for box in part.boxes]}
