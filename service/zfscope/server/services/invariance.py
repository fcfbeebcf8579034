"""MeasureInvariance on the wire: the request as the analyzer's parameters, its result as the response."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from zfscope.server.analyze import Answer, Question, answer, by_field, question_about
from zfscope.server.backend import Backend
from zfscope.server.cancel import Cancel
from zfscope.v1 import analysis_pb2 as pb
from zfscope.wire.enums import enum_words, enums_from_wire
from zfscope.wire.images import picture_to_wire, warnings_to_wire
from zfscope.wire.tensors import tensor_to_wire

Record = dict[str, Any]
"""A row of a table, by column names."""


def measure_invariance(
    backend: Backend, request: pb.MeasureInvarianceRequest, cancel: Cancel
) -> pb.MeasureInvarianceResponse:
    """Answer a MeasureInvariance. Blocks."""
    return response_of(answer(backend, question_of(request), cancel))


def question_of(request: pb.MeasureInvarianceRequest) -> Question:
    """Read a request; what is unset gets the analyzer's default.

    Raises InputError, naming the field, for a value that is not allowed.
    """
    return question_about(request, "invariance", by_field(request.images), _parameters(request))


def response_of(answered: Answer) -> pb.MeasureInvarianceResponse:
    """Write what the analyzer `invariance` found."""
    analysis = answered.analysis
    records = analysis.tables["curves"].records()
    rows, picture = _grouped(records, "photo"), analysis.picture("invariance")
    kinds = _grouped(records, "transformation") if analysis.tensors else ()
    return pb.MeasureInvarianceResponse(
        model=answered.model.name,
        version=answered.model.version,
        photos=[_photo(photo, rows[photo["photo"]]) for photo in analysis.tables["photos"].records()],
        picture=None if picture is None else picture_to_wire(picture),
        warnings=warnings_to_wire(analysis.warnings),
        tensors=[_tensors(kind, analysis.tensors) for kind in kinds],
    )


def _parameters(request: pb.MeasureInvarianceRequest) -> dict[str, Any]:
    values: dict[str, Any] = {"labels": list(request.labels)}
    for name in ("translations_px", "scales", "rotations_deg", "layers"):
        if given := list(getattr(request, name)):
            values[name] = given
    if request.transformations:
        enum = pb.Transformation.DESCRIPTOR
        values["transformations"] = enums_from_wire(enum, request.transformations, field="transformations")
    return values | enum_words(request, {"fill": pb.Fill.DESCRIPTOR})


def _photo(photo: Record, rows: Sequence[Record]) -> pb.InvariancePhoto:
    return pb.InvariancePhoto(
        label_id=photo["label_id"],
        label=photo["label"],
        chosen=pb.LabelChoice.Value(f"LABEL_CHOICE_{photo['chosen'].upper()}"),
        probability=photo["probability"],
        curves=[_curve(kind, curve) for kind, curve in _grouped(rows, "transformation").items()],
    )


def _curve(kind: str, rows: Sequence[Record]) -> pb.InvarianceCurve:
    layers = _grouped(rows, "layer")
    steps = next(iter(layers.values()))  # the values and the probabilities are the same for each layer
    return pb.InvarianceCurve(
        transformation=_transformation(kind),
        values=[step["value"] for step in steps],
        probabilities=[step["probability"] for step in steps],
        layers=[
            pb.LayerDistances(
                layer=layer,
                distances=[row["distance"] for row in of_layer],
                normalised_distances=[row["normalised_distance"] for row in of_layer],
            )
            for layer, of_layer in layers.items()
        ],
    )


def _tensors(kind: str, tensors: Mapping[str, NDArray[Any]]) -> pb.InvarianceTensors:
    return pb.InvarianceTensors(
        transformation=_transformation(kind),
        values=tensor_to_wire(tensors[f"{kind}-values"]),
        distances=tensor_to_wire(tensors[f"{kind}-distances"]),
        normalised_distances=tensor_to_wire(tensors[f"{kind}-normalised"]),
        probabilities=tensor_to_wire(tensors[f"{kind}-probabilities"]),
    )


def _transformation(kind: str) -> pb.Transformation.ValueType:
    return pb.Transformation.Value(f"TRANSFORMATION_{kind.upper()}")


def _grouped(rows: Iterable[Record], column: str) -> dict[Any, list[Record]]:
    """Give the rows for each value of a column, in order."""
    groups: dict[Any, list[Record]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups
