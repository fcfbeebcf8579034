"""Measures as numbers by name, and as one table of several models."""

from collections.abc import Iterator, Mapping, Sequence

from zfscope.results import Cell, Table
from zfscope.scan import Index
from zfscope_analyzers.architectures.grids import Grid
from zfscope_analyzers.architectures.layers import FirstLayers
from zfscope_analyzers.architectures.measure import Measures
from zfscope_analyzers.architectures.spectrum import BANDS

LATTICES = 3
"""Of layer 1, of the pool after it, of layer 2: more there are not where each coarsens once."""

_GRID_WORDS = {
    "layer": "of layer",
    "period_px": "period, px",
    "share": "share of layer-2 projections, %",
    "beside": "the same beside these frequencies, %",
    "ratio": "share / beside",
    "random": "share through random weights, %",
}
WORDS: Mapping[str, str] = {
    "top1": "top-1 accuracy, %",
    "top5": "top-5 accuracy, %",
    "multiplications": "multiply-adds, millions",
    "parameters": "parameters, millions",
    "filters": "first-layer filters",
    "kernel_px": "their side, px",
    "stride_px": "their stride, px",
    "dead_filters": "dead filters, %",
    "silent_1": "layer-1 maps silent on all photos, %",
    "silent_2": "layer-2 maps silent on all photos, %",
    "dominance": "largest filter RMS / median",
    **{f"energy_{band}": f"filter energy in {band} frequencies, %" for band in BANDS},
    **{f"weighted_{band}": f"the same, weighted by energy: {band}, %" for band in BANDS},
    **{f"peaks_{band}": f"filters whose peak is {band}, %" for band in BANDS},
    "constant": "filter energy that is constant, %",
    "folded": "filter energy that the stride folds, %",
    **{
        f"grid{number}_{key}": f"grid {number}: {words}"
        for number in range(1, LATTICES + 1)
        for key, words in _GRID_WORDS.items()
    },
    "grids_excess": "all grids: share less beside, %",
    "grids_excess_random": "all grids: the same through random weights, %",
}
"""What the numbers mean, by name, in the order of the table."""


def numbers(measures: Measures) -> Mapping[str, Cell]:
    """Return a model's numbers by the names in `WORDS`, percentages as 0..100; None where it has none."""
    found = _cost_and_accuracy(measures) | _filters(measures)
    for number, (grid, control) in enumerate(zip(measures.grids, measures.control_grids, strict=True), 1):
        found |= {f"grid{number}_{key}": value for key, value in _grid(grid, control).items()}
    found["grids_excess"] = _excess(measures.grids, measures.layers)
    found["grids_excess_random"] = _excess(measures.control_grids, measures.layers)
    return {name: found.get(name) for name in WORDS}


def table(measures: Sequence[Measures], indexes: Sequence[Index] = ()) -> Table:
    """Return a column for each model, and a row for each number that any of them has.

    indexes: one of each model, for the dead maps of every layer in them; none leaves those out.
    """
    columns = [numbers(each) for each in measures]
    rows = (
        (words, *(column[name] for column in columns))
        for name, words in WORDS.items()
        if any(column[name] is not None for column in columns)
    )
    return Table(("measure", *(each.title for each in measures)), (*rows, *_dead(indexes)))


def _dead(indexes: Sequence[Index]) -> Iterator[tuple[Cell, ...]]:
    """Yield the photos of the indexes, and the share of each layer's maps that none of them activates."""
    if indexes:
        yield f"photos of index '{indexes[0].name}'", *(index.manifest.images for index in indexes)
    for layer in dict.fromkeys(layer for index in indexes for layer in index.layers):
        dead = (_dead_share(index, layer) if layer in index.layers else None for index in indexes)
        yield f"maps of {layer} dead on all of them, %", *dead


def _dead_share(index: Index, layer: str) -> float:
    return 100 * len(index.dead_maps(layer)) / len(index.alive(layer))


def _cost_and_accuracy(measures: Measures) -> dict[str, Cell]:
    accuracy = measures.accuracy
    return {
        "top1": accuracy.top1 if accuracy else None,
        "top5": accuracy.top5 if accuracy else None,
        "multiplications": measures.multiplications / 1e6,
        "parameters": measures.parameters / 1e6,
    }


def _filters(measures: Measures) -> dict[str, Cell]:
    spectrum = measures.spectrum
    silent = [100 * float((maxima <= 0).mean()) for maxima in measures.maxima.values()]
    shares = {
        "energy": spectrum.mean_shares,
        "weighted": spectrum.energy_shares,
        "peaks": spectrum.peak_shares,
    }
    return {
        "filters": len(measures.filters),
        "kernel_px": measures.filters.shape[2],
        "stride_px": measures.layers.stride,
        "dead_filters": 100 * float(measures.sizes.dead.mean()),
        "silent_1": silent[0],
        "silent_2": silent[1],
        "dominance": measures.sizes.dominance,
        **{f"{key}_{band}": 100 * share for key, bands in shares.items() for band, share in bands.items()},
        "constant": 100 * float(spectrum.constants.mean()),
        "folded": 100 * float(spectrum.folded.mean()),
    }


def _grid(grid: Grid, control: Grid) -> dict[str, Cell]:
    return {
        "layer": grid.lattice.layer,
        "period_px": grid.lattice.period,
        "share": _percent(grid.share),
        "beside": _percent(grid.control),
        "ratio": grid.ratio,
        "random": _percent(control.share),
    }


def _excess(grids: Sequence[Grid], layers: FirstLayers) -> float | None:
    """Add up what the grids have too much, unless pictures or some lattice are missing."""
    found = [grid.excess for grid in grids if grid.excess is not None]
    return _percent(sum(found)) if len(found) == len(layers.lattices) else None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
