"""What the service answers, from the wire to plain values."""

from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format, struct_pb2
from google.protobuf.message import Message
from numpy.typing import NDArray

from zfscope.client import answers
from zfscope.images.geometry import Box
from zfscope.results import Analysis, Cell, Notice, Picture, Table
from zfscope.v1 import analysis_pb2, classification_pb2, image_pb2, model_pb2, warning_pb2
from zfscope.wire.enums import enum_from_wire
from zfscope.wire.tensors import tensor_from_wire


def summary(model: model_pb2.ModelSummary) -> answers.ModelSummary:
    """Read a line about a model."""
    return answers.ModelSummary(
        name=model.name,
        version=model.version,
        summary=model.summary,
        network=model.network,
        classes=model.classes,
        parameters=model.parameters,
        is_default=model.is_default,
        damage=model.damage,
    )


def model(answer: model_pb2.GetModelResponse) -> answers.ModelInfo:
    """Read a model's description."""
    return answers.ModelInfo(
        summary=summary(answer.summary),
        layers=tuple(_layer(layer) for layer in answer.layers),
        labels=tuple(answers.Label(label.id, label.name) for label in answer.labels),
        preprocessing=_preprocessing(answer.preprocessing),
        accuracy=_accuracy(answer.accuracy) if answer.HasField("accuracy") else None,
    )


def classification(answer: classification_pb2.ClassifyResponse) -> answers.Classification:
    """Read the classes of a photo."""
    classes = tuple(
        answers.ClassScore(score.index, score.label_id, score.label, score.probability, score.logit)
        for score in answer.classes
    )
    return answers.Classification(
        answer.model, answer.version, classes, _size(answer.photo), _warnings(answer.warnings)
    )


def projections(answer: analysis_pb2.ProjectResponse) -> answers.Projections:
    """Read what units saw."""
    return answers.Projections(
        model=answer.model,
        version=answer.version,
        projections=tuple(_projection(projection) for projection in answer.projections),
        sheet=_picture(answer.sheet) if answer.HasField("sheet") else None,
        photo_size=_size(answer.photo),
        warnings=_warnings(answer.warnings),
    )


def occlusion(answer: analysis_pb2.OccludeResponse) -> answers.Occlusion:
    """Read what covered windows did."""
    return answers.Occlusion(
        model=answer.model,
        version=answer.version,
        windows=answer.windows,
        classes=tuple(_occluded_class(target) for target in answer.classes),
        map=_occluded_map(answer.map),
        picture=_picture(answer.picture) if answer.HasField("picture") else None,
        photo_size=_size(answer.photo),
        positions=_tensor(answer, "positions"),
        likeliest=_tensor(answer, "likeliest"),
        warnings=_warnings(answer.warnings),
    )


def _occluded_class(target: analysis_pb2.OccludedClass) -> answers.OccludedClass:
    return answers.OccludedClass(
        label_id=target.label_id,
        label=target.label,
        clean=target.clean,
        lowest=target.lowest,
        lowest_at=_box(target.lowest_at) if target.HasField("lowest_at") else None,
        values=_tensor(target, "values"),
        value_map=_tensor(target, "value_map"),
        photo_value_map=_tensor(target, "photo_value_map"),
    )


def _occluded_map(watched: analysis_pb2.OccludedMap) -> answers.OccludedMap:
    return answers.OccludedMap(
        layer=watched.layer,
        map=watched.map,
        clean_total=watched.clean_total,
        lowest_total=watched.lowest_total,
        totals=_tensor(watched, "totals"),
        total_map=_tensor(watched, "total_map"),
        projection=_tensor(watched, "projection"),
        control_projection=_tensor(watched, "control_projection"),
        control_ssim=_number(watched, "control_ssim"),
        control_rank_correlation=_number(watched, "control_rank_correlation"),
    )


def comparison(answer: analysis_pb2.CompareArchitecturesResponse) -> answers.Comparison:
    """Read models side by side."""
    return answers.Comparison(
        table=_table(answer.table),
        picture=_picture(answer.picture) if answer.HasField("picture") else None,
        tensors={name: tensor_from_wire(tensor, field=name) for name, tensor in answer.tensors.items()},
        warnings=_warnings(answer.warnings),
    )


def top_k(answer: analysis_pb2.TopKResponse) -> answers.TopK:
    """Read the photos that activate maps most."""
    return answers.TopK(
        model=answer.model,
        version=answer.version,
        maps=tuple(
            answers.TopMap(
                found.map, found.alive, found.images, found.dead, tuple(map(_record, found.records))
            )
            for found in answer.maps
        ),
        picture=_picture(answer.picture) if answer.HasField("picture") else None,
        projections=_tensor(answer, "projections"),
        patches=_tensor(answer, "patches"),
        controls=_tensor(answer, "controls"),
        warnings=_warnings(answer.warnings),
    )


def _record(record: analysis_pb2.TopKRecord) -> answers.TopRecord:
    return answers.TopRecord(
        rank=record.rank,
        path=record.path,
        label=record.label,
        value=record.value,
        recomputed=_number(record, "recomputed"),
        y=record.y if record.HasField("y") else None,
        x=record.x if record.HasField("x") else None,
        state=enum_from_wire(analysis_pb2.RecordState.DESCRIPTOR, record.state, field="state") or "",
        patch=_box(record.patch) if record.HasField("patch") else None,
        control_ssim=_number(record, "control_ssim"),
        control_rank_correlation=_number(record, "control_rank_correlation"),
    )


def evolution(answer: analysis_pb2.EvolveResponse) -> answers.Evolution:
    """Read how maps came to be."""
    return answers.Evolution(
        model=answer.model,
        version=answer.version,
        maps=tuple(
            answers.EvolvedMap(found.map, tuple(map(_evolved, found.records))) for found in answer.maps
        ),
        settling=tuple(
            answers.Settling(
                each.epoch if each.HasField("epoch") else None,
                _number(each, "median"),
                _number(each, "lower"),
                _number(each, "upper"),
                each.maps,
            )
            for each in answer.settling
        ),
        picture=_picture(answer.picture) if answer.HasField("picture") else None,
        projections=_tensor(answer, "projections"),
        patches=_tensor(answer, "patches"),
        warnings=_warnings(answer.warnings),
    )


def _evolved(record: analysis_pb2.EvolvedRecord) -> answers.EvolvedRecord:
    return answers.EvolvedRecord(
        epoch=record.epoch if record.HasField("epoch") else None,
        path=record.path,
        label=record.label,
        value=_number(record, "value"),
        recomputed=_number(record, "recomputed"),
        y=record.y if record.HasField("y") else None,
        x=record.x if record.HasField("x") else None,
        state=enum_from_wire(analysis_pb2.RecordState.DESCRIPTOR, record.state, field="state") or "",
        jumped=record.jumped if record.HasField("jumped") else None,
        correlation=_number(record, "correlation"),
    )


def invariance(answer: analysis_pb2.MeasureInvarianceResponse) -> answers.Invariance:
    """Read what moves, changes of scale and turns did."""
    return answers.Invariance(
        model=answer.model,
        version=answer.version,
        photos=tuple(_invariance_photo(photo) for photo in answer.photos),
        picture=_picture(answer.picture) if answer.HasField("picture") else None,
        tensors=tuple(_invariance_tensors(tensors) for tensors in answer.tensors),
        warnings=_warnings(answer.warnings),
    )


def _invariance_photo(photo: analysis_pb2.InvariancePhoto) -> answers.InvariancePhoto:
    return answers.InvariancePhoto(
        label_id=photo.label_id,
        label=photo.label,
        chosen=enum_from_wire(analysis_pb2.LabelChoice.DESCRIPTOR, photo.chosen, field="chosen") or "",
        probability=photo.probability,
        curves=tuple(_invariance_curve(curve) for curve in photo.curves),
    )


def _invariance_curve(curve: analysis_pb2.InvarianceCurve) -> answers.InvarianceCurve:
    return answers.InvarianceCurve(
        transformation=_transformation(curve.transformation),
        values=tuple(curve.values),
        probabilities=tuple(curve.probabilities),
        layers=tuple(
            answers.LayerDistances(layer.layer, tuple(layer.distances), tuple(layer.normalised_distances))
            for layer in curve.layers
        ),
    )


def _invariance_tensors(tensors: analysis_pb2.InvarianceTensors) -> answers.InvarianceTensors:
    return answers.InvarianceTensors(
        transformation=_transformation(tensors.transformation),
        values=tensor_from_wire(tensors.values, field="values"),
        distances=tensor_from_wire(tensors.distances, field="distances"),
        normalised_distances=tensor_from_wire(tensors.normalised_distances, field="normalised_distances"),
        probabilities=tensor_from_wire(tensors.probabilities, field="probabilities"),
    )


def _transformation(value: int) -> str:
    return enum_from_wire(analysis_pb2.Transformation.DESCRIPTOR, value, field="transformation") or ""


def correspondence(answer: analysis_pb2.CorrespondResponse) -> answers.Correspondence:
    """Read what covering parts did."""
    return answers.Correspondence(
        model=answer.model,
        version=answer.version,
        rows=tuple(
            answers.PartCorrespondence(row.part, row.layer, row.mean, row.deviation, row.pairs)
            for row in answer.rows
        ),
        picture=_picture(answer.picture) if answer.HasField("picture") else None,
        hamming=_tensor(answer, "hamming"),
        boxes=_tensor(answer, "boxes"),
        random_hamming=_tensor(answer, "random_hamming"),
        random_boxes=_tensor(answer, "random_boxes"),
        warnings=_warnings(answer.warnings),
    )


def analyzer(found: analysis_pb2.Analyzer) -> answers.AnalyzerInfo:
    """Read what an analyzer is."""
    return answers.AnalyzerInfo(
        name=found.name,
        summary=found.summary,
        distribution=found.distribution,
        version=found.version,
        parameters_schema=json_format.MessageToDict(found.parameters_schema),
        cost=found.cost if found.HasField("cost") else None,
        photos=(found.min_images, found.max_images),
    )


def progress(message: analysis_pb2.Progress) -> answers.Progress:
    """Read how far an analysis is."""
    return answers.Progress(
        message.fraction,
        message.seconds_left if message.HasField("seconds_left") else None,
        _analysis(message.partial) if message.HasField("partial") else None,
    )


def analyzed(found: analysis_pb2.Analysis) -> answers.Analyzed:
    """Read what an analyzer found."""
    return answers.Analyzed(found.model, found.version, _analysis(found))


def _analysis(found: analysis_pb2.Analysis) -> Analysis:
    return Analysis(
        tensors={name: tensor_from_wire(tensor, field=name) for name, tensor in found.tensors.items()},
        pictures=tuple(_picture(picture) for picture in found.pictures),
        numbers=dict(found.numbers),
        tables={name: _table(table) for name, table in found.tables.items()},
        warnings=_warnings(found.warnings),
    )


def _warnings(warnings: Iterable[warning_pb2.Warning]) -> tuple[Notice, ...]:
    return tuple(Notice(warning.code, warning.message, warning.field) for warning in warnings)


def _table(table: analysis_pb2.Table) -> Table:
    rows = tuple(tuple(_cell(cell) for cell in row.cells) for row in table.rows)
    return Table(tuple(table.columns), rows)


def _cell(cell: struct_pb2.Value) -> Cell:
    """Read a cell; a whole number comes back as one, though the wire has no integers."""
    if cell.HasField("string_value"):
        return cell.string_value
    if not cell.HasField("number_value"):
        return None
    value = cell.number_value
    return int(value) if value.is_integer() else value


def _projection(seen: analysis_pb2.Projection) -> answers.Projection:
    return answers.Projection(
        layer=seen.layer,
        map=seen.map,
        y=seen.y if seen.HasField("y") else None,
        x=seen.x if seen.HasField("x") else None,
        activation=seen.activation,
        receptive_field=_box(seen.receptive_field),
        picture=_picture(seen.picture) if seen.HasField("picture") else None,
        tensor=_tensor(seen, "tensor"),
        control_tensor=_tensor(seen, "control_tensor"),
        control_ssim=_number(seen, "control_ssim"),
        control_rank_correlation=_number(seen, "control_rank_correlation"),
    )


def _number(message: Message, field: str) -> float | None:
    """Read a field that holds a number; None where it is not set."""
    return getattr(message, field) if message.HasField(field) else None


def _tensor(message: Message, field: str) -> NDArray[Any] | None:
    """Read a field that holds a tensor; None where it is not set."""
    return tensor_from_wire(getattr(message, field), field=field) if message.HasField(field) else None


def _box(box: image_pb2.Box) -> Box:
    return Box(box.x0, box.y0, box.x1, box.y1)


def _picture(picture: image_pb2.Picture) -> Picture:
    return Picture(picture.name, picture.png, picture.scale)


def _size(size: image_pb2.Size) -> tuple[int, int]:
    return size.height, size.width


def _layer(layer: model_pb2.Layer) -> answers.Layer:
    return answers.Layer(
        name=layer.name,
        kind=layer.kind,
        shape=tuple(layer.shape),
        parameters=layer.parameters,
        stride_px=layer.stride_px if layer.HasField("stride_px") else None,
        receptive_field_px=layer.receptive_field_px if layer.HasField("receptive_field_px") else None,
    )


def _preprocessing(steps: model_pb2.Preprocessing) -> answers.PreprocessingInfo:
    channels = enum_from_wire(model_pb2.ChannelOrder.DESCRIPTOR, steps.channels, field="channels")
    return answers.PreprocessingInfo(
        short_side_px=steps.short_side_px,
        centre_px=steps.centre_px,
        crop_px=steps.crop_px,
        channels=(channels or "").upper(),
        mean=tuple(steps.mean),
        std=tuple(steps.std),
    )


def _accuracy(accuracy: model_pb2.Accuracy) -> answers.Accuracy:
    has = accuracy.HasField
    return answers.Accuracy(
        top1_percent=accuracy.top1_percent,
        top5_percent=accuracy.top5_percent,
        ten_crop_top1_percent=accuracy.ten_crop_top1_percent if has("ten_crop_top1_percent") else None,
        ten_crop_top5_percent=accuracy.ten_crop_top5_percent if has("ten_crop_top5_percent") else None,
        images=accuracy.images,
        data=accuracy.data,
    )
