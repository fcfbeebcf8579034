"""Result of the measurements: numbers, tables, tensors, warnings and the picture."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import ATTRIBUTION, Analysis, Context, Notice, Picture, Table
from zfscope.results import merge_notices
from zfscope.rounding import rounding
from zfscope_analyzers.faithfulness.measure import PhotoFaithfulness
from zfscope_analyzers.faithfulness.params import FaithfulnessParams

# Measures of a photo that have means over photos.
_AREAS = (
    *("deletion_area", "insertion_area", "random_area"),
    *("control_deletion_area", "control_insertion_area"),
)
_MEASURES = ("clean", *_AREAS, "share_inside", "maximum_inside")
_PHOTO_COLUMNS = (
    *("photo", "label_id", "label", "clean", "removed", *_AREAS),
    *("random_deviation", "share_inside", "maximum_inside", "area_inside"),
)
_CURVE_COLUMNS = (
    *("photo", "share", "deletion", "insertion", "random_deletion", "random_insertion"),
    *("control_deletion", "control_insertion"),
)
Record = Mapping[str, float | None]


def result_of(
    context: Context, params: FaithfulnessParams, measured: Sequence[PhotoFaithfulness]
) -> Analysis:
    """Return the result for all photos, with a picture if requested."""
    records = [_record(photo) for photo in measured]
    summary = {name: _known([row[name] for row in records]) for name in _MEASURES}
    means = {name: float(np.mean(values)) for name, values in summary.items() if values}
    pictures: tuple[Picture, ...] = ()
    if context.pictures:
        from zfscope_analyzers.faithfulness.figure import draw_figure  # imports matplotlib

        pictures = (draw_figure(context, params, measured),)
    return Analysis(
        tensors=_tensors(measured) if context.tensors else {},
        pictures=pictures,
        numbers={"photos": len(measured), **means},
        tables={
            "summary": _summary(summary),
            "photos": _photo_table(context, measured, records),
            "curves": Table(_CURVE_COLUMNS, tuple(_curve_rows(measured))),
        },
        warnings=merge_notices(
            (*(n for photo in measured for n in photo.warnings), *_notices(params, records))
        ),
        precision=context.precision,
    )


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def deviation_of(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    """Return the standard deviation of a sample; None for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _record(photo: PhotoFaithfulness) -> Record:
    deletion, insertion = photo.areas(photo.curves)
    control = (None, None) if photo.control is None else photo.areas(photo.control)
    random, pointing = photo.random_areas, photo.pointing
    return {
        "clean": photo.clean,
        "removed": photo.removed,
        "deletion_area": deletion,
        "insertion_area": insertion,
        "random_area": float(random.mean()) if len(random) else None,
        "random_deviation": deviation_of(random),
        "control_deletion_area": control[0],
        "control_insertion_area": control[1],
        "share_inside": pointing.share_inside if pointing else None,
        "maximum_inside": float(pointing.maximum_inside) if pointing else None,
        "area_inside": pointing.area_inside if pointing else None,
    }


def _tensors(measured: Sequence[PhotoFaithfulness]) -> dict[str, NDArray[np.float32]]:
    tensors = {
        ATTRIBUTION: measured[0].attribution,
        "attributions": np.stack([photo.attribution for photo in measured]),
    }
    controls = [photo.control_attribution for photo in measured if photo.control_attribution is not None]
    if controls:
        tensors["control-attributions"] = np.stack(controls)
    if len(measured[0].random):
        tensors["random"] = np.stack([photo.random for photo in measured]).astype(np.float32)
    return tensors


def _summary(summary: Mapping[str, Sequence[float]]) -> Table:
    rows = [
        (name, float(np.mean(values)), deviation_of(values), len(values))
        for name, values in summary.items()
        if values
    ]
    return Table(("measure", "mean", "deviation", "photos"), tuple(rows))


def _photo_table(context: Context, measured: Sequence[PhotoFaithfulness], records: Sequence[Record]) -> Table:
    labels = [context.model.labels[photo.class_index] for photo in measured]
    known = [
        {"photo": number, "label_id": label.id, "label": label.name, **record}
        for number, (label, record) in enumerate(zip(labels, records, strict=True))
    ]
    return Table(_PHOTO_COLUMNS, tuple(tuple(row[name] for name in _PHOTO_COLUMNS) for row in known))


def _curve_rows(measured: Sequence[PhotoFaithfulness]) -> Iterator[tuple[float | None, ...]]:
    for number, photo in enumerate(measured):
        nothing = (None,) * len(photo.shares)
        random = photo.random.mean(0).tolist() if len(photo.random) else nothing
        control = photo.control or (nothing, nothing)
        columns = (photo.shares, *photo.curves, random, random[::-1], *control)
        for row in zip(*columns, strict=True):
            yield (number, *(None if value is None else float(value) for value in row))


def _notices(params: FaithfulnessParams, records: Sequence[Record]) -> Iterator[Notice]:
    """Yield a warning for each comparison that the attribution does not win in every photo."""
    name = "the given attribution" if params.attribution is not None else f"'{params.method}'"
    field = "method" if params.attribution is None else ATTRIBUTION
    for other, title in (("random", "random orders"), ("control", "its control, with randomised weights")):
        for kind, sign, word in (("deletion", 1, "below"), ("insertion", -1, "above")):
            against = "random_area" if other == "random" else f"control_{kind}_area"
            lost = [row for row in records if _is_lost(row, f"{kind}_area", against, sign)]
            if not lost:
                continue
            which = f"in {len(lost)} of {len(records)} photos, " if len(records) > 1 else ""
            # Without the areas: a run over a folder reports equal messages once, with their number.
            yield Notice(
                f"no-better-than-{other}",
                f"{which}the area of {kind} by {name} is not {word} that of {title}: by this measure "
                "it ranks the pixels no better",
                field,
            )


def _is_lost(row: Record, own: str, against: str, sign: int) -> bool:
    """Return whether an area is not better than another by more than rounding; sign: 1 if lower is better."""
    mine, other = row[own], row[against]
    if mine is None or other is None:
        return False
    return sign * (other - mine) <= rounding(max(abs(mine), abs(other)))
