"""Measurements of one model as named numbers, and of several models as one table."""

from collections.abc import Iterator, Mapping, Sequence

from zfscope.results import Cell, Table
from zfscope.scan import Index
from zfscope_analyzers.architectures.grids import Grid
from zfscope_analyzers.architectures.layers import FirstLayers
from zfscope_analyzers.architectures.measure import Measurements
from zfscope_analyzers.architectures.spectrum import BANDS

# Lattices of layer 1, the pooling after it, and layer 2: each makes the lattice coarser at most once.
LATTICES = 3

_GRID_LABELS = {
    "layer": "layer",
    "period_px": "period, px",
    "share": "share of layer-2 projections, %",
    "beside": "share at adjacent frequencies, %",
    "ratio": "share / share at adjacent frequencies",
    "random": "share with random weights, %",
}
# Labels of the table's rows, by the name of the number, in the order of the table.
ROW_LABELS: Mapping[str, str] = {
    "top1": "top-1 accuracy, %",
    "top5": "top-5 accuracy, %",
    "multiplications": "multiply-adds, millions",
    "parameters": "parameters, millions",
    "filters": "first-layer filters",
    "kernel_px": "first-layer filter size, px",
    "stride_px": "first-layer stride, px",
    "dead_filters": "dead filters, %",
    "silent_1": "layer-1 maps silent on all photos, %",
    "silent_2": "layer-2 maps silent on all photos, %",
    "dominance": "largest filter RMS / median",
    **{f"energy_{band}": f"filter energy in {band} frequencies, %" for band in BANDS},
    **{f"weighted_{band}": f"filter energy in {band} frequencies, energy-weighted, %" for band in BANDS},
    **{f"peaks_{band}": f"filters with their peak in {band} frequencies, %" for band in BANDS},
    "constant": "filter energy at zero frequency (DC), %",
    "folded": "filter energy aliased by the stride, %",
    **{
        f"grid{number}_{key}": f"grid {number}: {label}"
        for number in range(1, LATTICES + 1)
        for key, label in _GRID_LABELS.items()
    },
    "grids_excess": "all grids: share minus adjacent, %",
    "grids_excess_random": "all grids: share minus adjacent, random weights, %",
}


def numbers_by_name(measures: Measurements) -> Mapping[str, Cell]:
    """Return the values of `ROW_LABELS`, percentages as 0 to 100; None for those not measured."""
    result = _cost_and_accuracy(measures) | _filters(measures)
    for number, (grid, control) in enumerate(zip(measures.grids, measures.control_grids, strict=True), 1):
        result |= {f"grid{number}_{key}": value for key, value in _grid(grid, control).items()}
    result["grids_excess"] = _excess(measures.grids, measures.layers)
    result["grids_excess_random"] = _excess(measures.control_grids, measures.layers)
    return {name: result.get(name) for name in ROW_LABELS}


def comparison_table(measures: Sequence[Measurements], indexes: Sequence[Index] = ()) -> Table:
    """Return a table with one column per model and one row per number that at least one model has.

    indexes: one per model, for rows with the dead maps of every indexed layer; empty for no such rows.
    """
    columns = [numbers_by_name(each) for each in measures]
    rows = (
        (label, *(column[name] for column in columns))
        for name, label in ROW_LABELS.items()
        if any(column[name] is not None for column in columns)
    )
    return Table(("measure", *(each.title for each in measures)), (*rows, *_dead(indexes)))


def _dead(indexes: Sequence[Index]) -> Iterator[tuple[Cell, ...]]:
    """Yield a row with the number of photos per index, and one per layer with its share of dead maps."""
    if indexes:
        yield f"photos in index '{indexes[0].name}'", *(index.manifest.images for index in indexes)
    for layer in dict.fromkeys(layer for index in indexes for layer in index.layers):
        dead = (_dead_share(index, layer) if layer in index.layers else None for index in indexes)
        yield f"{layer} maps dead on all photos of the index, %", *dead


def _dead_share(index: Index, layer: str) -> float:
    return 100 * len(index.dead_maps(layer)) / len(index.alive(layer))


def _cost_and_accuracy(measures: Measurements) -> dict[str, Cell]:
    accuracy = measures.accuracy
    return {
        "top1": accuracy.top1 if accuracy else None,
        "top5": accuracy.top5 if accuracy else None,
        "multiplications": measures.multiplications / 1e6,
        "parameters": measures.parameters / 1e6,
    }


def _filters(measures: Measurements) -> dict[str, Cell]:
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
    """Return the sum of the grids' excess; None if pictures or a lattice's grid are missing."""
    excesses = [grid.excess for grid in grids if grid.excess is not None]
    return _percent(sum(excesses)) if len(excesses) == len(layers.lattices) else None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
