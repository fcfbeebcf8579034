"""Project on the wire: the request as the analyzer's parameters, its result as the response."""

from typing import Any

from zfscope.errors import InputError, TooMuchWork
from zfscope.networks.shapes import shapes
from zfscope.results import Picture
from zfscope.server.analyze import Answer, Question, answer, question_about
from zfscope.server.backend import Backend
from zfscope.server.cancel import Cancel
from zfscope.store import Model
from zfscope.v1 import analysis_pb2 as pb
from zfscope.wire.enums import enum_words
from zfscope.wire.images import box_of, picture_to_wire, size_to_wire, warnings_to_wire
from zfscope.wire.tensors import tensor_to_wire

_ENUMS = {
    "rank": pb.Rank.DESCRIPTOR,
    "rule": pb.Rule.DESCRIPTOR,
    "normalisation": pb.Normalisation.DESCRIPTOR,
}


def project_photo(backend: Backend, request: pb.ProjectRequest, cancel: Cancel) -> pb.ProjectResponse:
    """Answer a Project. Blocks."""
    _check_count(len(request.units), backend.max_units, field="units")
    question = question_of(request)
    model = backend.models.loaded(question.model, question.version).model
    if request.top <= _maps(model, question):  # with more, the analyzer says how many there are
        _check_count(request.top, backend.max_units, field="top")
    return response_of(answer(backend, question, cancel))


def question_of(request: pb.ProjectRequest) -> Question:
    """Read a request; what is unset gets the analyzer's default.

    Raises InputError, naming the field, for a value that is not allowed.
    """
    return question_about(request, "project", {"image": request.image}, _parameters(request))


def response_of(answered: Answer) -> pb.ProjectResponse:
    """Write what the analyzer `project` found."""
    analysis = answered.analysis
    pictures = {picture.name: picture for picture in analysis.pictures}
    records = analysis.tables["projections"].records()
    sheet = next((picture for name, picture in pictures.items() if name.endswith("-sheet")), None)
    response = pb.ProjectResponse(
        model=answered.model.name,
        version=answered.model.version,
        projections=[_projection(record, pictures) for record in records],
        sheet=None if sheet is None else picture_to_wire(sheet),
        photo=size_to_wire(answered.images[0].geometries[0].photo_size),
        warnings=warnings_to_wire(analysis.warnings),
    )
    for name, field in (("projections", "tensor"), ("controls", "control_tensor")):
        for projection, tensor in zip(response.projections, analysis.tensors.get(name, ()), strict=False):
            getattr(projection, field).CopyFrom(tensor_to_wire(tensor))
    return response


def _parameters(request: pb.ProjectRequest) -> dict[str, Any]:
    if request.units and request.HasField("top"):
        raise InputError(f"top is {request.top} and units are given too; give one of the two", field="top")
    values: dict[str, Any] = {"control": request.control, "units": [_unit(unit) for unit in request.units]}
    for name in ("layer", "control_down_to"):
        if getattr(request, name):
            values[name] = getattr(request, name)
    if request.HasField("top"):
        values["top"] = request.top
    return values | enum_words(request, _ENUMS)


def _check_count(units: int, max_units: int, *, field: str) -> None:
    if units > max_units:
        raise TooMuchWork(f"{units} units; one request may ask for {max_units} at most", field=field)


def _maps(model: Model, question: Question) -> int:
    """Count the maps of the layer; 0 of one that is not there."""
    layer = question.parameters.get("layer", "conv5")
    return shapes(model.network.spec).get(layer, (0,))[0]


def _unit(unit: pb.UnitRef) -> dict[str, int]:
    return {"map": unit.map, **{name: getattr(unit, name) for name in ("y", "x") if unit.HasField(name)}}


def _projection(record: dict[str, Any], pictures: dict[str, Picture]) -> pb.Projection:
    picture = pictures.get(record["picture"])
    return pb.Projection(
        layer=record["layer"],
        map=record["map"],
        y=record["y"],
        x=record["x"],
        activation=record["activation"],
        receptive_field=box_of(record),
        picture=None if picture is None else picture_to_wire(picture),
        control_ssim=record["ssim"],
        control_rank_correlation=record["rank_correlation"],
    )
