"""ListAnalyzers and Analyze on the wire: any analyzer, its parameters as a Struct, its result by names."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2

from zfscope.analysis.registry import Registered
from zfscope.analysis.run import default_cost
from zfscope.errors import InputError
from zfscope.results import Analysis, Cell, Table
from zfscope.server.analyze import Question, by_field, question_about
from zfscope.store import Model
from zfscope.v1 import analysis_pb2 as pb
from zfscope.wire.images import picture_to_wire, warnings_to_wire
from zfscope.wire.tensors import tensor_to_wire


def analyzer_to_wire(registered: Registered, model: Model) -> pb.Analyzer:
    """Describe an analyzer, with its cost for a model."""
    analyzer = registered.analyzer
    return pb.Analyzer(
        name=analyzer.name,
        summary=analyzer.summary,
        distribution=registered.distribution,
        version=registered.version,
        parameters_schema=struct_of(analyzer.params.model_json_schema()),
        cost=default_cost(analyzer, model),
        min_images=analyzer.photos[0],
        max_images=analyzer.photos[1],
    )


def question_of(request: pb.AnalyzeRequest) -> Question:
    """Read a request. Raises InputError for parameters that are no JSON."""
    images, parameters = by_field(request.images), _parameters(request.parameters)
    return question_about(request, request.analyzer, images, parameters, under="parameters")


def analysis_to_wire(analysis: Analysis, model: Model) -> pb.Analysis:
    """Write what an analyzer found by a model."""
    return pb.Analysis(
        model=model.name,
        version=model.version,
        numbers=analysis.numbers,
        tables={name: table_to_wire(table) for name, table in analysis.tables.items()},
        pictures=[picture_to_wire(picture) for picture in analysis.pictures],
        tensors={name: tensor_to_wire(tensor) for name, tensor in analysis.tensors.items()},
        warnings=warnings_to_wire(analysis.warnings),
    )


def table_to_wire(table: Table) -> pb.Table:
    """Write a table."""
    return pb.Table(
        columns=table.columns, rows=[pb.Row(cells=[_cell(cell) for cell in row]) for row in table.rows]
    )


def struct_of(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Write JSON as a Struct."""
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct


def _parameters(struct: struct_pb2.Struct) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json_format.MessageToDict(struct)
    except (json_format.SerializeToJsonError, ValueError) as error:
        raise InputError(f"the parameters hold what JSON cannot: {error}", field="parameters") from error
    return values


def _cell(cell: Cell) -> struct_pb2.Value:
    if cell is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(cell, str):
        return struct_pb2.Value(string_value=cell)
    return struct_pb2.Value(number_value=cell)
