"""Result of a measurement of faithfulness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import Analyzed, Size, TypedAnalysis, from_analysis, from_record, group_by
from zfscope.results import Notice, Picture, ShowsPicture


@dataclass(frozen=True)
class RemovalCurve:
    """Values of a class while pixels are removed or inserted, one per step, and the area under them."""

    area: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class FaithfulnessPhoto:
    """Faithfulness of the attribution of a class in a photo.

    shares: removed or inserted share of the pixels at each step, 0..1. deletion: the highest attributions are
    removed first; a low area is good. insertion: they are inserted first; a high area is good.
    random_deletion: mean over random orders, whose insertion is the same read backwards; None without random
    orders. random_deviation: standard deviation of the area over the orders; None for fewer than two.
    control_deletion, control_insertion: in the order of the attribution by randomised weights; None without
    the control. share_inside: share of positive attributions inside the boxes and masks; None if none is
    positive. maximum_inside: whether the highest attribution is inside. area_inside: share of the network's
    input that is inside. The three are None without boxes and masks.
    """

    label_id: str
    label: str
    shares: tuple[float, ...]
    deletion: RemovalCurve
    insertion: RemovalCurve
    random_deletion: RemovalCurve | None
    random_deviation: float | None
    control_deletion: RemovalCurve | None
    control_insertion: RemovalCurve | None
    share_inside: float | None
    maximum_inside: bool | None
    area_inside: float | None


@dataclass(frozen=True)
class FaithfulnessMean:
    """Mean of a measure over the photos that have it; deviation: None for fewer than two."""

    measure: str
    mean: float
    deviation: float | None
    photos: int


@dataclass(frozen=True, eq=False)
class FaithfulnessResult(ShowsPicture):
    """Faithfulness of the attributions of photos.

    Tensors, float32 (photos, H, W) in the network's input, None unless requested: attributions;
    control_attributions, those of randomised weights.
    """

    model: str
    version: int
    photos: tuple[FaithfulnessPhoto, ...]
    means: tuple[FaithfulnessMean, ...]
    picture: Picture | None
    attributions: NDArray[np.float32] | None
    control_attributions: NDArray[np.float32] | None
    warnings: tuple[Notice, ...] = ()
    precision: str = "float32"

    def mean(self, measure: str) -> float | None:
        """Return the mean of a measure over the photos; None if no photo has it."""
        return next((each.mean for each in self.means if each.measure == measure), None)


def _assemble(analyzed: Analyzed, _: Sequence[Size]) -> FaithfulnessResult:
    analysis = analyzed.analysis
    rows = group_by(analysis.tables["curves"].records(), "photo")
    return from_analysis(
        FaithfulnessResult,
        analyzed,
        photos=tuple(_photo(record, rows[record["photo"]]) for record in analysis.tables["photos"].records()),
        means=tuple(from_record(FaithfulnessMean, record) for record in analysis.tables["summary"].records()),
        picture=analysis.picture("faithfulness"),
    )


def _photo(record: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> FaithfulnessPhoto:
    def curve(name: str, area: str) -> RemovalCurve | None:
        if record[area] is None:
            return None
        return RemovalCurve(record[area], tuple(step[name] for step in steps))

    inside = record["maximum_inside"]
    return from_record(
        FaithfulnessPhoto,
        {**record, "class": record["label"]},
        shares=tuple(step["share"] for step in steps),
        deletion=curve("deletion", "deletion_area"),
        insertion=curve("insertion", "insertion_area"),
        random_deletion=curve("random_deletion", "random_area"),
        control_deletion=curve("control_deletion", "control_deletion_area"),
        control_insertion=curve("control_insertion", "control_insertion_area"),
        maximum_inside=None if inside is None else bool(inside),
    )


FAITHFULNESS = TypedAnalysis("MeasureFaithfulness", "faithfulness", FaithfulnessResult, _assemble)
