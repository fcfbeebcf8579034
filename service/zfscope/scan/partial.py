"""What a scan has found in some of the photos; two such results make one, in any order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.runtimes import MapMaxima

RECORD = np.dtype([("score", "<f4"), ("value", "<f4"), ("photo", "<i8"), ("place", "<i4"), ("digest", "V16")])
"""A photo's strongest unit of a map: what ranks it, its activation, the photo's number, the unit's place
y * columns + x, and the BLAKE2b of the photo's file."""

Records = NDArray[np.void]

EDGES: NDArray[np.float32] = np.concatenate(
    [[np.nextafter(np.float32(0), np.float32(1))], 2.0 ** np.arange(-10, 12.25, 0.25)]
).astype(np.float32)
"""Where the bins of histograms begin, the first one's aside: one bin for maxima of 0 and less, one for those
below 2^-10, quarter octaves from there to 2^12, and one for all above. They do not depend on the data, so
histograms are merged by adding."""

BINS = len(EDGES) + 1


class SkippedIndex(NamedTuple):
    """A photo that could not be used, by its number, and the reason in words."""

    photo: int
    reason: str


@dataclass(frozen=True, eq=False)
class LayerResult:
    """What was found in one layer.

    records: RECORD (maps, n), for each map the strongest photo first, of equal ones the lower number; n is
    the scan's `top`, or the number of photos where there are fewer. histogram: int64 (maps, BINS), how many
    photos have their largest activation in each bin.
    """

    records: Records
    histogram: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PartialResult:
    """What was found in some batches.

    top: how many records a map keeps. batches: bit b is set where batch b is in. photos: how many were
    used; those `skipped`, by number, are not among them. layers: by name, none where no photo was used.
    """

    top: int
    batches: int = 0
    photos: int = 0
    skipped: tuple[SkippedIndex, ...] = ()
    layers: Mapping[str, LayerResult] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        """How many photos were looked at, those skipped included."""
        return self.photos + len(self.skipped)


def merge(one: PartialResult, other: PartialResult) -> PartialResult:
    """Make one result of two. Neither order nor grouping makes a difference: it may be done anywhere.

    Raises ValueError where a batch is in both, so that its photos would count twice.
    """
    if one.batches & other.batches:
        raise ValueError("one batch is in both of the results to be merged")
    both = one.layers.keys() & other.layers.keys()
    layers = {name: _merge_layer(one.layers[name], other.layers[name], one.top) for name in both}
    return PartialResult(
        top=one.top,
        batches=one.batches | other.batches,
        photos=one.photos + other.photos,
        skipped=tuple(sorted(one.skipped + other.skipped)),
        layers={**one.layers, **other.layers, **layers},
    )


def layer_result(maxima: MapMaxima, photos: Records, *, top: int) -> LayerResult:
    """Take up what a layer makes of some photos.

    maxima: of these photos. photos: RECORD (N,), of which the number and the digest are read.
    """
    scores = maxima.values if maxima.sums is None else maxima.sums
    records = np.repeat(photos[None], scores.shape[1], axis=0)
    records["score"], records["value"], records["place"] = scores.T, maxima.values.T, maxima.places.T
    return LayerResult(_best(records, top), _histogram(maxima.values))


def _merge_layer(one: LayerResult, other: LayerResult, top: int) -> LayerResult:
    records = np.concatenate([one.records, other.records], axis=1)
    return LayerResult(_best(records, top), one.histogram + other.histogram)


def _best(records: Records, top: int) -> Records:
    """Sort the records of each map, and keep the first ones."""
    order = np.lexsort((records["photo"], -records["score"]), axis=1)[:, :top]
    return np.take_along_axis(records, order, axis=1)


def _histogram(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Count values (N, maps) into (maps, BINS)."""
    maps = values.shape[1]
    bins = np.searchsorted(EDGES, values, side="right") + BINS * np.arange(maps)
    return np.bincount(bins.ravel(), minlength=maps * BINS).reshape(maps, BINS)
