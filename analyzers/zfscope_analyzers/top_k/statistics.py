"""Statistics of feature maps over all photos of an index: histograms of their maxima, and classes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from zfscope.analysis.contract import Table
from zfscope.records import Record
from zfscope.results import Cell
from zfscope.scan import Index
from zfscope.scan.open import images_by_class
from zfscope.store import Model
from zfscope_analyzers.top_k.page import Page

_HISTOGRAM_COLUMNS = ("map", "lower", "upper", "photos")
_CLASS_COLUMNS = ("map", "class", "photos", "mean", "images")


def statistics_tables(model: Model, page: Page) -> dict[str, Table]:
    """Return the tables `histograms` and `classes` of a page. Raises DamagedIndex for a damaged file."""
    images = images_by_class(model, page.index)
    return {
        "histograms": histogram_table(page.index, page.layer, page.maps),
        "classes": class_table(page.index, page.layer, page.maps, images),
    }


def histogram_table(index: Index, layer: str, maps: Sequence[int]) -> Table:
    """Return the histograms of maps: for each, a row per bin.

    The first row of a map counts the photos that do not activate it. The others run from its first to its
    last bin with photos, empty ones in between included.
    """
    # The lowest edge is the smallest positive number: what lies below it is not active.
    edges = (0.0, *index.manifest.histogram_edges[1:], None)
    counts = index.histogram(layer)
    rows = ((number, *row) for number in maps for row in _bins(counts[number].tolist(), edges))
    return Table(_HISTOGRAM_COLUMNS, tuple(rows))


def _bins(counts: Sequence[int], edges: Sequence[float | None]) -> Iterator[tuple[Cell, ...]]:
    """Yield lower and upper edge and number of photos of each bin; None for an edge at infinity."""
    inactive, *active = counts
    yield None, 0.0, inactive
    filled = [number for number, count in enumerate(active) if count]
    for number in range(filled[0], filled[-1] + 1) if filled else ():
        yield edges[number], edges[number + 1], active[number]


@dataclass(frozen=True)
class _ClassSum:
    """Number of photos of a class among a map's records, and the sum of their activations."""

    photos: int = 0
    total: float = 0.0

    def add(self, value: float) -> "_ClassSum":
        return _ClassSum(self.photos + 1, self.total + value)


def class_table(index: Index, layer: str, maps: Sequence[int], images: Mapping[str, int]) -> Table:
    """Return the classes among all records of each map, most frequent first; ties by mean activation.

    images: number of photos of the index by class; empty if it is not known. Records without an activation
    above 0 do not count.
    """
    rows = (
        (number, name or None, each.photos, each.total / each.photos, images.get(name))
        for number in maps
        for name, each in _by_class(index.records(layer, number))
    )
    return Table(_CLASS_COLUMNS, tuple(rows))


def _by_class(records: Sequence[Record]) -> list[tuple[str, _ClassSum]]:
    classes: dict[str, _ClassSum] = {}
    for record in records:
        if record.value > 0:
            classes[record.label] = classes.get(record.label, _ClassSum()).add(record.value)
    return sorted(classes.items(), key=lambda item: (-item[1].photos, -item[1].total, item[0]))
