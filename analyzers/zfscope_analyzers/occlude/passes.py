"""Class scores and map totals for each occluded window, and the rounding floor of their changes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from zfscope.analysis.contract import array
from zfscope.engine.occlusion import recompute, recomputes_little
from zfscope.engine.signal import Signal
from zfscope.rounding import rounding
from zfscope_analyzers.occlude.setup import OcclusionRun
from zfscope_analyzers.occlude.windows import batches

# Images per full forward pass; a pass takes a tenth of a second on two cores. Cancellation is checked before
# each pass.
_BATCH_SIZE = 4


@dataclass(eq=False)
class OcclusionScores:
    """Results per window, filled in as windows are finished.

    logits: class scores (windows, classes). totals: total activation of the watched map (windows,). known:
    int64 (windows,), the number of those two that are filled in.
    """

    logits: NDArray[np.float32]
    totals: NDArray[np.float32]
    known: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.known = np.zeros(len(self.logits), np.int64)

    @property
    def done(self) -> list[int]:
        """Indices of the finished windows."""
        finished: list[int] = np.flatnonzero(self.known == 2).tolist()
        return finished

    @property
    def share(self) -> float:
        """Fraction of the numbers that are filled in, 0 to 1."""
        return float(self.known.mean()) / 2

    def add_logits(self, windows: list[int], logits: NDArray[np.float32]) -> None:
        """Fill in class scores of windows."""
        self.logits[windows] = logits
        self.known[windows] += 1

    def add_totals(self, windows: list[int], totals: NDArray[np.float32]) -> None:
        """Fill in total activations of windows."""
        self.totals[windows] = totals
        self.known[windows] += 1


def run_passes(run: OcclusionRun, scores: OcclusionScores) -> Iterator[float]:
    """Run the network for all windows by the method of the parameters; yield the share done, 0 to 1."""
    method = run.params.method
    if method == "auto":
        method = "incremental" if _recomputes_little(run) else "full"
    return run_incremental(run, scores) if method == "incremental" else run_full(run, scores)


def _recomputes_little(run: OcclusionRun) -> bool:
    """Return whether the largest batch of windows is recomputed faster than by whole passes."""
    if run.model.is_opaque:
        return False
    largest = max(batches(run.windows), key=len)
    layers = {run.params.layer, run.model.spec.scores}
    return recomputes_little(run.model.network, _changes(run, largest), layers)


def run_incremental(run: OcclusionRun, scores: OcclusionScores) -> Iterator[float]:
    """Recompute only what each occluded window changes; yield the share done, 0 to 1."""
    last = run.model.spec.scores
    for indices in batches(run.windows):
        for part in recompute(
            run.context.network, run.traced, _changes(run, indices), {run.params.layer, last}
        ):
            numbers = [indices[window] for window in part.windows]
            if run.params.layer in part.outputs:
                scores.add_totals(numbers, _totals(run, part.outputs[run.params.layer]))
            if last in part.outputs:
                scores.add_logits(numbers, array(part.outputs[last].values))
            yield scores.share


def _changes(run: OcclusionRun, indices: list[int]) -> Signal:
    windows = [run.windows[index] for index in indices]
    values = torch.stack([run.occluded_pixels(window) for window in windows])
    origins = torch.tensor([(window.y, window.x) for window in windows])
    return Signal(values, torch.zeros(len(windows), dtype=torch.int64), origins)


def _totals(run: OcclusionRun, changed: Signal) -> NDArray[np.float32]:
    """Return the map's sum over space: the clean total, minus the changed region before, plus it after."""
    whole = run.traced.outputs[run.params.layer][0, run.unit.map]
    after = changed.values[:, run.unit.map].to(whole.dtype)
    if whole.dim() == 0:
        return array(after)
    rows, columns = changed.size
    before = torch.stack([whole[y : y + rows, x : x + columns].sum() for y, x in changed.origins.tolist()])
    return array(whole.sum() - before + after.sum((1, 2)))


def run_full(run: OcclusionRun, scores: OcclusionScores) -> Iterator[float]:
    """Run full passes in the forward runtime; yield the share done, 0 to 1."""
    clean = run.traced.outputs["input"][0]
    order = list(chain.from_iterable(batches(run.windows)))
    for start in range(0, len(order), _BATCH_SIZE):
        numbers = order[start : start + _BATCH_SIZE]
        images = clean.repeat(len(numbers), 1, 1, 1)
        for image, number in zip(images, numbers, strict=True):
            rows, columns = run.windows[number].area
            image[:, rows, columns] = run.occluded_pixels(run.windows[number])
        logits, totals = _whole_pass(run, array(images))
        scores.add_logits(numbers, logits)
        scores.add_totals(numbers, totals)
        yield scores.share


def _whole_pass(
    run: OcclusionRun, images: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the class scores of images, and the total activation of the watched map in them."""
    runtime, last, layer = run.context.runtime, run.model.spec.scores, run.params.layer
    if run.model.is_opaque:  # its outputs are in memory anyway, and maxima of all maps would be computed
        outputs = runtime.outputs(images, [last, layer])
        return outputs[last], outputs[layer][:, run.unit.map].reshape(len(images), -1).sum(1)
    maxima = runtime.map_maxima(images, [last, layer], sums=True)
    sums = maxima[layer].sums
    assert sums is not None
    return maxima[last].values, sums[:, run.unit.map]


def value_floor(run: OcclusionRun, target: int, precision: str = "") -> float:
    """Return the largest change of a class's value that rounding can cause.

    precision: empty for that of the run.
    """
    noise = rounding(float(np.abs(run.scores).max()), precision or run.context.precision)
    if run.params.value == "logit":
        return noise
    # dp/ds = p (1 - p) for the class's own score s; the factor 2 allows for the other scores, and the last
    # term for storing p as float32.
    clean = float(run.clean[target])
    return 2 * max(noise, rounding(1)) * clean * (1 - clean) + rounding(clean)


def total_floor(run: OcclusionRun) -> float:
    """Return the largest change of the watched map's total that rounding can cause.

    Each term of the sum has the rounding error of the layer's largest activation. The errors are treated as
    independent: n of them add up to sqrt(n) times one.
    """
    layer, precision = array(run.traced.outputs[run.params.layer])[0], run.context.precision
    watched = np.abs(layer[run.unit.map])
    independent = float(np.abs(layer).max()) * watched.size**0.5
    return rounding(independent, precision) + rounding(float(watched.sum()), precision)


def is_lowered(run: OcclusionRun, target: int, values: NDArray[np.float64]) -> bool:
    """Return whether any window lowers a class's value by more than rounding. values: (windows,)."""
    return bool(run.clean[target] - values.min() > value_floor(run, target))


def is_changed(clean: float, values: NDArray[np.floating], floor: float) -> bool:
    """Return whether any window changes a value by more than the floor. values: (windows,)."""
    return bool(np.abs(values - clean).max() > floor)


def likeliest_classes(run: OcclusionRun, logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the most likely class for each window, from class scores (windows, classes).

    Among classes whose scores differ only by rounding, that of the clean photo wins, else the first.
    """
    noise = rounding(float(np.abs(logits).max()), run.context.precision)
    near = logits >= logits.max(axis=1, keepdims=True) - noise
    clean = int(run.clean.argmax())
    result: NDArray[np.int64] = np.where(near[:, clean], clean, near.argmax(axis=1)).astype(np.int64)
    return result
