"""AnalysisService: what units of a layer saw in a photo."""

from functools import partial
from typing import Any

import grpc
from pydantic import ValidationError

from zfscope.analysis.projection import Picture, Projection, ProjectionParams, project_photo
from zfscope.errors import InputError, TooMuchWork
from zfscope.networks.shapes import shapes
from zfscope.server.backend import Backend
from zfscope.server.enums import enum_from_wire
from zfscope.server.images import box_to_wire, image_from_wire, size_to_wire
from zfscope.server.tensors import tensor_to_wire
from zfscope.store import Model
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceServicer

_ENUMS = {
    "rank": pb.Rank.DESCRIPTOR,
    "rule": pb.Rule.DESCRIPTOR,
    "normalisation": pb.Normalisation.DESCRIPTOR,
}


class AnalysisService(AnalysisServiceServicer):
    """Runs analyses on a photo."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def Project(
        self,
        request: pb.ProjectRequest,
        context: grpc.aio.ServicerContext[pb.ProjectRequest, pb.ProjectResponse],
    ) -> pb.ProjectResponse:
        return await self._backend.workers.run(partial(project, self._backend, request))


def project(backend: Backend, request: pb.ProjectRequest) -> pb.ProjectResponse:
    """Answer a Project. Blocks."""
    _check_count(len(request.units), backend.max_units, field="units")
    params = params_from_wire(request)
    loaded = backend.models.loaded(request.model, request.version if request.HasField("version") else None)
    if params.top <= _maps(loaded.model, params.layer):  # with more, the analysis says how many there are
        _check_count(params.top, backend.max_units, field="top")
    prepared = image_from_wire(request.image, loaded.model, limits=backend.image_limits)
    seen = project_photo(loaded.model, prepared, params)
    return pb.ProjectResponse(
        model=loaded.model.name,
        version=loaded.model.version,
        projections=[_projection(projection) for projection in seen.items],
        sheet=_picture(seen.sheet),
        photo=size_to_wire(prepared.photo),
    )


def params_from_wire(request: pb.ProjectRequest) -> ProjectionParams:
    """Read the parameters; what is unset gets the default of `ProjectionParams`.

    Raises InputError, naming the field, for a value that is not allowed.
    """
    if request.units and request.HasField("top"):
        raise InputError(f"top is {request.top} and units are given too; give one of the two", field="top")
    values: dict[str, Any] = {"control": request.control, "tensors": request.tensors}
    values["units"] = [_unit(unit) for unit in request.units]
    if request.layer:
        values["layer"] = request.layer
    for name in ("top", "pictures"):
        if request.HasField(name):
            values[name] = getattr(request, name)
    for name, enum in _ENUMS.items():
        word = enum_from_wire(enum, getattr(request, name), field=name)
        if word is not None:
            values[name] = word
    try:
        return ProjectionParams.model_validate(values)
    except ValidationError as error:
        raise _input_error(error) from error


def _check_count(units: int, max_units: int, *, field: str) -> None:
    if units > max_units:
        raise TooMuchWork(f"{units} units; one request may ask for {max_units} at most", field=field)


def _maps(model: Model, layer: str) -> int:
    """Count the maps of a layer; 0 of one that is not there."""
    return shapes(model.network.spec).get(layer, (0,))[0]


def _unit(unit: pb.UnitRef) -> dict[str, int]:
    return {"map": unit.map, **{name: getattr(unit, name) for name in ("y", "x") if unit.HasField(name)}}


def _input_error(error: ValidationError) -> InputError:
    """Name the first thing that is wrong: `units[2].y`, its value, and what pydantic says of it."""
    first = error.errors(include_url=False)[0]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    return InputError(f"{field} is {first['input']!r:.80}: {first['msg']}", field=field)


def _projection(seen: Projection) -> pb.Projection:
    return pb.Projection(
        layer=seen.layer,
        map=seen.map,
        y=seen.y,
        x=seen.x,
        activation=seen.activation,
        receptive_field=box_to_wire(seen.box),
        picture=_picture(seen.picture),
        tensor=None if seen.tensor is None else tensor_to_wire(seen.tensor),
        control_tensor=None if seen.control_tensor is None else tensor_to_wire(seen.control_tensor),
    )


def _picture(picture: Picture | None) -> image_pb2.Picture | None:
    if picture is None:
        return None
    return image_pb2.Picture(name=picture.name, png=picture.png, scale=picture.scale)
