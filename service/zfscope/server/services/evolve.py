"""Evolve on the wire: the request as the analyzer's parameters, its result as the response."""

from collections.abc import Mapping, Sequence
from typing import Any

from zfscope.server.analyze import Answer, Question, answer, question_about
from zfscope.server.backend import Backend
from zfscope.server.cancel import Cancel
from zfscope.v1 import analysis_pb2 as pb
from zfscope.wire.enums import enum_to_wire
from zfscope.wire.images import picture_to_wire, warnings_to_wire
from zfscope.wire.tensors import tensor_to_wire


def evolve(backend: Backend, request: pb.EvolveRequest, cancel: Cancel) -> pb.EvolveResponse:
    """Answer an Evolve. Blocks."""
    return response_of(answer(backend, question_of(request), cancel))


def question_of(request: pb.EvolveRequest) -> Question:
    """Read a request; what is unset gets the analyzer's default."""
    return question_about(request, "evolve", {}, _parameters(request))


def response_of(answered: Answer) -> pb.EvolveResponse:
    """Write what the analyzer `evolve` found."""
    analysis = answered.analysis
    picture, tables = analysis.picture("evolution"), analysis.tables
    response = pb.EvolveResponse(
        model=answered.model.name,
        version=answered.model.version,
        maps=_maps(tables["evolution"].records()),
        settling=[_settling(row) for row in tables["settling"].records()] if "settling" in tables else [],
        picture=None if picture is None else picture_to_wire(picture),
        warnings=warnings_to_wire(analysis.warnings),
    )
    for name in ("projections", "patches"):
        if name in analysis.tensors:
            getattr(response, name).CopyFrom(tensor_to_wire(analysis.tensors[name]))
    return response


def _parameters(request: pb.EvolveRequest) -> dict[str, Any]:
    values: dict[str, Any] = {"maps": list(request.maps), "epochs": list(request.epochs)}
    for name in ("index", "layer"):
        if getattr(request, name):
            values[name] = getattr(request, name)
    for name in ("count", "first", "settling"):
        if request.HasField(name):  # type: ignore[arg-type]  # each is the name of an optional field
            values[name] = getattr(request, name)
    return values


def _maps(rows: Sequence[Mapping[str, Any]]) -> list[pb.EvolvedMap]:
    """Write the rows of each map together."""
    return [
        pb.EvolvedMap(map=map, records=[_record(row) for row in rows if row["map"] == map])
        for map in dict.fromkeys(row["map"] for row in rows)
    ]


def _record(row: Mapping[str, Any]) -> pb.EvolvedRecord:
    state = enum_to_wire(pb.RecordState.DESCRIPTOR, row["state"], field="state")
    jumped = row["jumped"]
    return pb.EvolvedRecord(
        epoch=row["epoch"],
        path=row["path"] or "",
        label=row["class"] or "",
        value=row["value"],
        recomputed=row["recomputed"],
        y=row["y"],
        x=row["x"],
        state=pb.RecordState.ValueType(state),
        jumped=None if jumped is None else bool(jumped),
        correlation=row["correlation"],
    )


def _settling(row: Mapping[str, Any]) -> pb.Settling:
    return pb.Settling(
        epoch=row["epoch"], median=row["median"], lower=row["lower"], upper=row["upper"], maps=row["maps"]
    )
