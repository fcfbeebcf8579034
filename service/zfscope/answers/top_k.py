"""Result of a top-k analysis: the strongest photos of feature maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.analysis import (
    Analyzed,
    Size,
    TypedAnalysis,
    box_of,
    from_analysis,
    from_record,
    group_by,
)
from zfscope.images.geometry import Box
from zfscope.results import Notice, Picture, ShowsPicture

# Upper edge of a bin without a limit: the largest float32.
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class TopRecord:
    """One of the strongest photos of a map; rank 0 is the strongest.

    path, label: in the indexed data. value: recorded activation. recomputed: current activation. y, x: row
    and column of the unit, None in a fully connected layer. state: a `zfscope.records.RecordState`. patch: in
    photo pixels. control_ssim, control_rank_correlation: similarity to the control, -1..1, None without a
    control. recomputed, patch and the similarities are None if state is `changed`, `gone` or `silent`.
    blake2b: hash of the photo's file, by which `indexed_photo` returns it.
    """

    rank: int
    path: str
    label: str
    value: float
    recomputed: float | None
    y: int | None
    x: int | None
    state: str
    patch: Box | None
    control_ssim: float | None
    control_rank_correlation: float | None
    blake2b: str = ""


@dataclass(frozen=True)
class MapHistogram:
    """Photos of an index by a map's maximum in them.

    zeros: number of photos with a maximum of 0 or less. counts: number of photos for each bin of larger
    maxima, from the first to the last bin with photos. edges: one more than counts; bin i is from edges[i],
    not included if it is 0, up to edges[i + 1], not included.
    """

    zeros: int
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ClassCount:
    """A class among the strongest photos of a map. label: as in the indexed data, empty for none.

    photos: number of its photos among the map's records in the index. mean: their mean activation. images:
    number of its photos in the whole index, None if unknown.
    """

    label: str
    photos: int
    mean: float
    images: int | None


@dataclass(frozen=True)
class TopMap:
    """A map with its strongest photos. alive: number of the `images` photos that activate it.

    classes: of all its records in the index with an activation above 0, most frequent first.
    """

    map: int
    alive: int
    images: int
    dead: bool
    records: tuple[TopRecord, ...]
    histogram: MapHistogram | None = None
    classes: tuple[ClassCount, ...] = ()


@dataclass(frozen=True, eq=False)
class TopK(ShowsPicture):
    """Strongest photos of feature maps of a layer in an index, named by `index`.

    Tensors, None unless requested: projections and controls float32 (maps, photos, C, size, size) in the
    network's channel order; patches uint8 (maps, photos, size, size, 3). All are zero where a photo is
    missing or does not activate the map.
    """

    model: str
    version: int
    maps: tuple[TopMap, ...]
    picture: Picture | None
    projections: NDArray[np.float32] | None
    patches: NDArray[np.uint8] | None
    controls: NDArray[np.float32] | None
    warnings: tuple[Notice, ...] = ()
    layer: str = ""
    index: str = ""
    precision: str = "float32"


@dataclass(frozen=True, eq=False)
class IndexedPhoto:
    """The file of a photo that an index records.

    model, version: model of the index. path, label: in the indexed data. blake2b: hash of the file, 32
    hexadecimal digits. data: bytes of the file.
    """

    model: str
    version: int
    index: str
    path: str
    label: str
    blake2b: str
    data: bytes = field(repr=False)


def _assemble(analyzed: Analyzed, _: Sequence[Size]) -> TopK:
    analysis = analyzed.analysis
    rows, maps = (analysis.tables[name].records() for name in ("records", "maps"))
    records = group_by(rows, "map")
    histograms, classes = (
        group_by(analysis.tables[name].records(), "map") for name in ("histograms", "classes")
    )
    return from_analysis(
        TopK,
        analyzed,
        layer=rows[0]["layer"],
        index=maps[0].get("index", ""),  # missing from services of an earlier version, as `blake2b` is
        maps=tuple(
            from_record(
                TopMap,
                row,
                dead=bool(row["dead"]),
                records=tuple(
                    from_record(
                        TopRecord,
                        record,
                        label=record["class"] or "",
                        patch=box_of(record),
                        blake2b=record.get("blake2b", ""),
                    )
                    for record in records.get(row["map"], ())
                ),
                histogram=_histogram(histograms[row["map"]]),
                classes=tuple(
                    from_record(ClassCount, each, label=each["class"] or "")
                    for each in classes.get(row["map"], ())
                ),
            )
            for row in maps
        ),
        picture=analysis.picture("top-k"),
    )


def _histogram(rows: Sequence[Mapping[str, Any]]) -> MapHistogram:
    zeros, *bins = rows
    edges = [row["lower"] for row in bins] + [row["upper"] for row in bins[-1:]]
    finite = (_LARGEST if edge is None else float(edge) for edge in edges)
    return MapHistogram(zeros["photos"], tuple(finite), tuple(row["photos"] for row in bins))


TOP_K = TypedAnalysis("TopK", "top-k", TopK, _assemble)
