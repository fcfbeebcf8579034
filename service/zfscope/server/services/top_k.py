"""TopK on the wire: the request as the analyzer's parameters, its result as the response."""

from collections.abc import Iterable, Mapping
from typing import Any

from zfscope.server.analyze import Answer, Question, answer, question_about
from zfscope.server.backend import Backend
from zfscope.server.cancel import Cancel
from zfscope.v1 import analysis_pb2 as pb
from zfscope.wire.enums import enum_to_wire
from zfscope.wire.images import box_of, picture_to_wire, warnings_to_wire
from zfscope.wire.tensors import tensor_to_wire


def top_k(backend: Backend, request: pb.TopKRequest, cancel: Cancel) -> pb.TopKResponse:
    """Answer a TopK. Blocks."""
    return response_of(answer(backend, question_of(request), cancel))


def question_of(request: pb.TopKRequest) -> Question:
    """Read a request; what is unset gets the analyzer's default."""
    return question_about(request, "top-k", {}, _parameters(request))


def response_of(answered: Answer) -> pb.TopKResponse:
    """Write what the analyzer `top-k` found."""
    analysis = answered.analysis
    picture, records = analysis.picture("top-k"), analysis.tables["records"].records()
    response = pb.TopKResponse(
        model=answered.model.name,
        version=answered.model.version,
        maps=[_map(about, records) for about in analysis.tables["maps"].records()],
        picture=None if picture is None else picture_to_wire(picture),
        warnings=warnings_to_wire(analysis.warnings),
    )
    for name in ("projections", "patches", "controls"):
        if name in analysis.tensors:
            getattr(response, name).CopyFrom(tensor_to_wire(analysis.tensors[name]))
    return response


def _parameters(request: pb.TopKRequest) -> dict[str, Any]:
    values: dict[str, Any] = {"maps": list(request.maps), "control": request.control}
    for name in ("index", "layer", "control_down_to"):
        if getattr(request, name):
            values[name] = getattr(request, name)
    for name in ("count", "first", "top"):
        if request.HasField(name):  # type: ignore[arg-type]  # each is the name of an optional field
            values[name] = getattr(request, name)
    return values


def _map(about: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> pb.TopKMap:
    return pb.TopKMap(
        map=about["map"],
        alive=about["alive"],
        images=about["images"],
        dead=bool(about["dead"]),
        records=[_record(record) for record in records if record["map"] == about["map"]],
    )


def _record(record: Mapping[str, Any]) -> pb.TopKRecord:
    state = enum_to_wire(pb.RecordState.DESCRIPTOR, record["state"], field="state")
    return pb.TopKRecord(
        rank=record["rank"],
        path=record["path"],
        label=record["class"] or "",
        value=record["value"],
        recomputed=record["recomputed"],
        y=record["y"],
        x=record["x"],
        state=pb.RecordState.ValueType(state),
        patch=None if record["x0"] is None else box_of(record),
        control_ssim=record["ssim"],
        control_rank_correlation=record["rank_correlation"],
    )
