"""Partial results of a scan, which can be merged in any order."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from zfscope.parallel import UnusedPhoto
from zfscope.runtimes import MapMaxima

# A photo's strongest unit of a map: its score (the ranking key), its activation, the photo's number, the
# position y * columns + x of the unit, and the BLAKE2b of the photo's file.
RECORD = np.dtype([("score", "<f4"), ("value", "<f4"), ("photo", "<i8"), ("place", "<i4"), ("digest", "V16")])

Records = NDArray[np.void]

# Lower edges of the histogram bins, except the first bin: a bin for maxima of 0 and below, one for those
# below 2**-10, quarter octaves up to 2**12, and one for everything above. The smallest positive float32
# separates the first two. The edges do not depend on the data, so histograms can be merged by addition.
EDGES: NDArray[np.float32] = np.concatenate(
    [[np.nextafter(np.float32(0), np.float32(1))], 2.0 ** np.arange(-10, 12.25, 0.25)]
).astype(np.float32)

BINS = len(EDGES) + 1


@dataclass(frozen=True, eq=False)
class LayerResult:
    """Partial result of one layer.

    records: RECORD (maps, n), for each map the strongest photo first, ties by number; n is the scan's `top`,
    or the number of photos if smaller. histogram: int64 (maps, BINS), number of photos whose largest
    activation falls into each bin.
    """

    records: Records
    histogram: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PartialResult:
    """Result of some of the batches.

    top: number of records kept per map. batches: bit set; bit b is set if batch b is included. photos: number
    of photos used, not counting skipped ones. skipped: sorted by number. layers: by name; empty if no photo
    was used.
    """

    top: int
    batches: int = 0
    photos: int = 0
    skipped: tuple[UnusedPhoto, ...] = ()
    layers: Mapping[str, LayerResult] = field(default_factory=dict)

    @property
    def processed(self) -> int:
        """Number of photos processed, including skipped ones."""
        return self.photos + len(self.skipped)

    def merge(self, other: Self) -> Self:
        """Merge two results. Commutative and associative, so results may arrive in any order.

        Raises ValueError if both include the same batch, whose photos would be counted twice.
        """
        if self.batches & other.batches:
            raise ValueError("the results to be merged include the same batch")
        both = self.layers.keys() & other.layers.keys()
        layers = {name: _merge_layer(self.layers[name], other.layers[name], self.top) for name in both}
        return replace(
            self,
            batches=self.batches | other.batches,
            photos=self.photos + other.photos,
            skipped=tuple(sorted(self.skipped + other.skipped)),
            layers={**self.layers, **other.layers, **layers},
        )


def layer_result(maxima: MapMaxima, photos: Records, *, top: int) -> LayerResult:
    """Return the partial result of a layer for N photos.

    maxima: the layer's maxima for these photos. photos: RECORD (N,); only `photo` and `digest` are read.
    """
    scores = maxima.values if maxima.sums is None else maxima.sums
    records = np.repeat(photos[None], scores.shape[1], axis=0)
    records["score"], records["value"], records["place"] = scores.T, maxima.values.T, maxima.indices.T
    return LayerResult(_best(records, top), _histogram(maxima.values))


def _merge_layer(one: LayerResult, other: LayerResult, top: int) -> LayerResult:
    records = np.concatenate([one.records, other.records], axis=1)
    return LayerResult(_best(records, top), one.histogram + other.histogram)


def _best(records: Records, top: int) -> Records:
    """Return the `top` strongest records of each map, sorted by descending score, then by photo number."""
    order = np.lexsort((records["photo"], -records["score"]), axis=1)[:, :top]
    return np.take_along_axis(records, order, axis=1)


def _histogram(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the histogram (maps, BINS) of values (N, maps)."""
    maps = values.shape[1]
    # One bincount for all maps: map m counts into bins m * BINS to (m + 1) * BINS - 1.
    bins = np.searchsorted(EDGES, values, side="right") + BINS * np.arange(maps)
    return np.bincount(bins.ravel(), minlength=maps * BINS).reshape(maps, BINS)
