"""Result of the comparison: numbers, tables, tensors and the sheet."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import ATTRIBUTION, Analysis, Notice, Picture, Table
from zfscope.results import Cell, merge_notices
from zfscope_analyzers.explain.measure import ModelExplanations, agreements, difference
from zfscope_analyzers.explain.params import ExplainParams

RANDOM = "random orders"
_METHOD_COLUMNS = (
    *("model", "method", "deletion_area", "insertion_area"),
    *("control_deletion_area", "control_insertion_area", "reason"),
)


def result_of(
    params: ExplainParams, explained: Sequence[ModelExplanations], notices: Sequence[Notice]
) -> Analysis:
    """Return the result for one or two models, with the sheet if requested."""
    context = explained[0].context
    pictures: tuple[Picture, ...] = ()
    if context.pictures:
        from zfscope_analyzers.explain.sheet import draw_sheet

        pictures = (draw_sheet(params, explained),)
    of_methods = (
        notice for each in explained for photo in each.measured.values() for notice in photo.warnings
    )
    return Analysis(
        tensors=dict(_tensors(params, explained)) if context.tensors else {},
        pictures=pictures,
        numbers=_seconds(explained),
        tables={
            "methods": Table(_METHOD_COLUMNS, tuple(_method_rows(params, explained))),
            "agreement": Table(
                ("model", "method", "other", "rank_correlation"), tuple(_agreement_rows(explained))
            ),
            "classes": Table(("model", "label_id", "label", "probability"), tuple(_class_rows(explained))),
        },
        warnings=merge_notices((*notices, *(n for each in explained for n in each.notices), *of_methods)),
        precision=context.precision,
    )


def _seconds(explained: Sequence[ModelExplanations]) -> dict[str, float]:
    return {
        f"seconds {method}{f' {each.title}' if number else ''}": photo.seconds
        for number, each in enumerate(explained)
        for method, photo in each.measured.items()
    }


def random_area(explained: ModelExplanations) -> float | None:
    """Return the mean area of the random orders, of deletion and insertion alike; None without any."""
    areas = [photo.random_areas for photo in explained.measured.values() if len(photo.random)]
    return float(areas[0].mean()) if areas else None


def _method_rows(params: ExplainParams, explained: Sequence[ModelExplanations]) -> Iterator[tuple[Cell, ...]]:
    for each in explained:
        title, chance = each.title, random_area(each)
        for method in params.methods:
            photo = each.measured.get(method)
            if photo is None:
                yield (title, method, *(None,) * 4, each.reasons[method])
                continue
            control = photo.areas(photo.control) if photo.control else (None, None)
            yield (title, method, *photo.areas(photo.curves), *control, None)
        if chance is not None:
            yield (title, RANDOM, chance, chance, None, None, None)


def _agreement_rows(explained: Sequence[ModelExplanations]) -> Iterator[tuple[Cell, ...]]:
    for each in explained:
        for (one, other), value in agreements(each.attributions).items():
            yield (each.title, one, other, value)


def _class_rows(explained: Sequence[ModelExplanations]) -> Iterator[tuple[Cell, ...]]:
    for each in explained:
        for score in each.classes:
            yield (each.title, score.label_id, score.label, score.probability)


def _tensors(
    params: ExplainParams, explained: Sequence[ModelExplanations]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    first = next(iter(explained[0].attributions.values()), None)
    if first is not None:
        yield ATTRIBUTION, first
    for prefix, each in zip(("", "other-"), explained, strict=False):
        for method, attribution in each.attributions.items():
            yield f"{prefix}{method}-{ATTRIBUTION}", attribution
        if each.projection:
            yield f"{prefix}projection", each.projection.pixels
    if len(explained) == 2:
        for method in shared_methods(params, explained):
            yield f"{method}-difference", difference(explained[0], explained[1], method)


def shared_methods(params: ExplainParams, explained: Sequence[ModelExplanations]) -> list[str]:
    """Return the methods that gave an attribution of every model."""
    return [method for method in params.methods if all(method in each.measured for each in explained)]
