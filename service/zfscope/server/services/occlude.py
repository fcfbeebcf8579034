"""Occlude on the wire: the request as the analyzer's parameters, its result as the response."""

from typing import Any

from zfscope.server.analyze import Answer, Question, answer, question_about
from zfscope.server.backend import Backend
from zfscope.server.cancel import Cancel
from zfscope.v1 import analysis_pb2 as pb
from zfscope.wire.enums import enum_words
from zfscope.wire.images import box_of, picture_to_wire, sides_of, size_to_wire, warnings_to_wire
from zfscope.wire.tensors import tensor_to_wire

_ENUMS = {"value": pb.ClassValue.DESCRIPTOR, "method": pb.Method.DESCRIPTOR}


def occlude(backend: Backend, request: pb.OccludeRequest, cancel: Cancel) -> pb.OccludeResponse:
    """Answer an Occlude. Blocks."""
    return response_of(answer(backend, question_of(request), cancel))


def question_of(request: pb.OccludeRequest) -> Question:
    """Read a request; what is unset gets the analyzer's default.

    Raises InputError, naming the field, for a value that is not allowed.
    """
    return question_about(request, "occlude", {"image": request.image}, _parameters(request))


def response_of(answered: Answer) -> pb.OccludeResponse:
    """Write what the analyzer `occlude` found."""
    analysis = answered.analysis
    (watched,) = analysis.tables["watched"].records()
    picture = analysis.picture("occlusion")
    response = pb.OccludeResponse(
        model=answered.model.name,
        version=answered.model.version,
        classes=[_class(record) for record in analysis.tables["classes"].records()],
        map=_map(watched),
        picture=None if picture is None else picture_to_wire(picture),
        warnings=warnings_to_wire(analysis.warnings),
        photo=size_to_wire(answered.images[0].geometries[0].photo_size),
        windows=int(analysis.numbers["windows"]),
    )
    _add_tensors(response, analysis.tensors)
    return response


def _parameters(request: pb.OccludeRequest) -> dict[str, Any]:
    values: dict[str, Any] = {
        "classes": list(request.classes),
        "boxes": [sides_of(box) for box in request.boxes],
        "masks": list(request.masks),
        "control": request.control,
    }
    for name in ("fill", "layer", "control_down_to"):
        if getattr(request, name):
            values[name] = getattr(request, name)
    for name in ("window", "stride", "map"):
        if request.HasField(name):  # type: ignore[arg-type]  # each is the name of an optional field
            values[name] = getattr(request, name)
    return values | enum_words(request, _ENUMS)


def _map(record: dict[str, Any]) -> pb.OccludedMap:
    return pb.OccludedMap(
        layer=record["layer"],
        map=record["map"],
        clean_total=record["clean_total"],
        lowest_total=record["lowest_total"],
        control_ssim=record["ssim"],
        control_rank_correlation=record["rank_correlation"],
    )


def _class(record: dict[str, Any]) -> pb.OccludedClass:
    return pb.OccludedClass(
        label_id=record["label_id"],
        label=record["label"],
        clean=record["clean"],
        lowest=record["lowest"],
        lowest_at=None if record["x0"] is None else box_of(record),
    )


def _add_tensors(response: pb.OccludeResponse, tensors: Any) -> None:
    """Add the tensors, where there are any."""
    if not tensors:
        return
    response.positions.CopyFrom(tensor_to_wire(tensors["windows"]))
    response.likeliest.CopyFrom(tensor_to_wire(tensors["likeliest"]))
    for place, target in enumerate(response.classes):
        target.values.CopyFrom(tensor_to_wire(tensors["values"][place]))
        target.value_map.CopyFrom(tensor_to_wire(tensors["value-maps"][place]))
        target.photo_value_map.CopyFrom(tensor_to_wire(tensors["photo-value-maps"][place]))
    for field, name in (("totals", "totals"), ("total_map", "total-map"), ("projection", "projection")):
        getattr(response.map, field).CopyFrom(tensor_to_wire(tensors[name]))
    if "control-projection" in tensors:
        response.map.control_projection.CopyFrom(tensor_to_wire(tensors["control-projection"]))
