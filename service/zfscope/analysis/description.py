"""Descriptions of models, layers and analyzers; no weights are loaded."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

from zfscope.analysis.contract import Analyzer
from zfscope.analysis.needs import needs_of, unavailable_reason
from zfscope.analysis.registry import RegisteredAnalyzer, Registry
from zfscope.analysis.run import default_cost, translate_errors
from zfscope.analysis.subanalysis import total_cost
from zfscope.answers.analysis import AnalyzerInfo
from zfscope.answers.models import (
    Accuracy,
    GraphInfo,
    LabelInfo,
    LayerInfo,
    ModelInfo,
    ModelSummary,
    PreprocessingInfo,
)
from zfscope.images.preprocess import Preprocessing
from zfscope.networks.landmarks import blocks
from zfscope.networks.layer import Layer
from zfscope.networks.receptive import ReceptiveField, receptive_fields
from zfscope.networks.spec import NetworkSpec, shapes
from zfscope.store import DamagedEntry, Manifest, Model, RecordedAccuracy

Key = tuple[str, int]
# Fields of `LayerInfo` for a layer without rows and columns.
_NO_GEOMETRY: Mapping[str, Any] = {"stride_px": None, "receptive_field_px": None}


def describe(spec: NetworkSpec) -> tuple[LayerInfo, ...]:
    """Describe the layers of a network in order of evaluation."""
    known, fields, sources = shapes(spec), receptive_fields(spec), spec.sources
    listed_first = set(blocks(spec))

    def has_fields(layer: Layer) -> bool:
        return spec.has_maps(layer.name) and not layer.is_opaque

    return tuple(
        LayerInfo(
            name=layer.name,
            kind=layer.described_kind,
            shape=known[layer.name],
            parameters=sum(map(prod, layer.parameters(known[sources[layer.name][0]]).values())),
            block=layer.name in listed_first,
            **(_geometry(fields[layer.name]) if has_fields(layer) else _NO_GEOMETRY),
        )
        for layer in spec.layers
    )


def _geometry(field: ReceptiveField) -> dict[str, int]:
    """Return the fields of `LayerInfo` with strides and receptive fields."""
    return {
        "stride_px": field.jump,
        "stride_rows_px": field.rows.jump,
        "stride_columns_px": field.columns.jump,
        "receptive_field_px": field.size,
        "receptive_field_rows_px": field.rows.size,
        "receptive_field_columns_px": field.columns.size,
    }


def model_summary(entry: Manifest | DamagedEntry, default: Key | None) -> ModelSummary:
    """Summarise a model, or the damage that makes it unusable. default: name and version of the default."""
    is_default = (entry.name, entry.version) == default
    if isinstance(entry, DamagedEntry):
        return ModelSummary(entry.name, entry.version, "", "", 0, 0, is_default, entry.reason)
    return ModelSummary(
        name=entry.name,
        version=entry.version,
        summary=entry.summary,
        network=entry.network.name,
        classes=len(entry.labels),
        parameters=entry.parameters,
        is_default=is_default,
    )


def model_info(manifest: Manifest, default: Key | None, precision: str) -> ModelInfo:
    """Describe a model and its layers. default: name and version of the default model. precision: in which
    its runtime computes.
    """
    return ModelInfo(
        summary=model_summary(manifest, default),
        layers=describe(manifest.network),
        labels=tuple(LabelInfo(label.id, label.name) for label in manifest.labels),
        preprocessing=_preprocessing(manifest.preprocessing),
        accuracy=_accuracy(manifest.accuracy) if manifest.accuracy else None,
        precision=precision,
        graph=GraphInfo(manifest.graph.obstacle, manifest.graph.batches) if manifest.graph else None,
    )


def list_analyzers(registry: Registry, model: Model) -> tuple[AnalyzerInfo, ...]:
    """Describe all analyzers, with their costs for a model and why they cannot run with it.

    Raises AnalyzerFailed if an analyzer fails.
    """
    costs = partial(default_cost, model=model, cost=partial(total_cost, registry))

    def describe_one(registered: RegisteredAnalyzer) -> AnalyzerInfo:
        reason = unavailable_reason(registered.analyzer, model.manifest)
        # Without a network, the estimate of an analyzer that needs one could fail.
        info = analyzer_info(registered) if reason else analyzer_info(registered, costs)
        return replace(info, unavailable=reason)

    return tuple(map(describe_one, registry.values()))


def analyzer_info(
    registered: RegisteredAnalyzer, cost: Callable[[Analyzer[Any]], int | None] = lambda _: None
) -> AnalyzerInfo:
    """Describe an analyzer. cost: with default parameters. Raises AnalyzerFailed if the analyzer fails."""
    analyzer = registered.analyzer
    with translate_errors(registered):
        return AnalyzerInfo(
            analyzer.name,
            analyzer.summary,
            registered.distribution,
            registered.version,
            analyzer.params.model_json_schema(),
            cost(analyzer),
            *analyzer.photos,
            needs=tuple(need.value for need in needs_of(analyzer)),
        )


def _preprocessing(steps: Preprocessing) -> PreprocessingInfo:
    return PreprocessingInfo(
        short_side_px=steps.short_side,
        centre_px=steps.centre,
        crop_px=steps.crop,
        channels=steps.channels,
        mean=() if steps.mean == "image" else steps.mean,
        std=steps.std,
        interpolation=steps.interpolation,
    )


def _accuracy(accuracy: RecordedAccuracy) -> Accuracy:
    return Accuracy(
        top1_percent=accuracy.top1,
        top5_percent=accuracy.top5,
        ten_crop_top1_percent=accuracy.ten_crop_top1,
        ten_crop_top5_percent=accuracy.ten_crop_top5,
        images=accuracy.images,
        data=accuracy.data,
    )
