"""What the network says of each covered window, and which of the changes are no more than rounding."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from zfscope.analysis.contract import array
from zfscope.engine.occlusion import recompute
from zfscope.engine.signal import Signal
from zfscope.engine.trace import trace
from zfscope.rounding import rounding
from zfscope_analyzers.occlude.scene import Scene
from zfscope_analyzers.occlude.windows import of_one_size

_FULL_BATCH = 4
"""Images in a whole pass: a tenth of a second on two cores, after which the caller is looked after."""


@dataclass(eq=False)
class Seen:
    """What the windows did: class scores (windows, classes), and totals of the map (windows,)."""

    logits: NDArray[np.float32]
    totals: NDArray[np.float32]
    done: set[int] = field(default_factory=set)


def incremental(scene: Scene, seen: Seen) -> Iterator[float]:
    """Compute again only what a covered window changes; give the share that is done."""
    last = scene.model.spec.scores
    parts = 0
    for places in of_one_size(scene.windows):
        for part in recompute(
            scene.model.network, scene.traced, _changes(scene, places), {scene.params.layer, last}
        ):
            numbers = [places[window] for window in part.windows]
            if scene.params.layer in part.outputs:
                seen.totals[numbers] = _totals(scene, part.outputs[scene.params.layer])
                parts += len(numbers)
            if last in part.outputs:
                seen.logits[numbers] = array(part.outputs[last].values)
                seen.done.update(numbers)
                parts += len(numbers)
            yield parts / (2 * len(scene.windows))


def _changes(scene: Scene, places: list[int]) -> Signal:
    windows = [scene.windows[place] for place in places]
    values = torch.stack([scene.under(window) for window in windows])
    origins = torch.tensor([(window.y, window.x) for window in windows])
    return Signal(values, torch.zeros(len(windows), dtype=torch.int64), origins)


def _totals(scene: Scene, changed: Signal) -> NDArray[np.float32]:
    """Sum the map over space: what it was, less what the window was, and what it is now."""
    whole = scene.traced.outputs[scene.params.layer][0, scene.unit.map]
    if whole.dim() == 0:
        return array(changed.values[:, scene.unit.map])
    rows, columns = changed.size
    before = torch.stack([whole[y : y + rows, x : x + columns].sum() for y, x in changed.origins.tolist()])
    return array(whole.sum() - before + changed.values[:, scene.unit.map].sum((1, 2)))


def full(scene: Scene, seen: Seen) -> Iterator[float]:
    """Run whole passes: class scores by the forward runtime, the map by the engine."""
    clean = scene.traced.outputs["input"][0]
    for start in range(0, len(scene.windows), _FULL_BATCH):
        numbers = list(range(start, min(start + _FULL_BATCH, len(scene.windows))))
        images = clean.repeat(len(numbers), 1, 1, 1)
        for image, number in zip(images, numbers, strict=True):
            rows, columns = scene.windows[number].area
            image[:, rows, columns] = scene.under(scene.windows[number])
        seen.logits[numbers] = scene.context.runtime.forward(array(images))
        scene.context.check_cancelled()
        maps = trace(scene.model.network, images, until=scene.params.layer).maps(scene.params.layer)
        seen.totals[numbers] = array(maps[:, scene.unit.map].flatten(1).sum(1))
        seen.done.update(numbers)
        yield len(seen.done) / len(scene.windows)


def value_floor(scene: Scene, target: int) -> float:
    """Return the largest difference that rounding makes to a class's value."""
    noise = rounding(float(np.abs(scene.scores).max()))
    if scene.params.value == "logit":
        return noise
    # A probability p moves by p (1 - p) for each unit of its score, and the others move too; it is stored
    # as float32 as well.
    clean = float(scene.clean[target])
    return 2 * max(noise, rounding(1)) * clean * (1 - clean) + rounding(clean)


def total_floor(scene: Scene) -> float:
    """Return the largest difference that rounding makes to the watched map's total.

    The terms of the sum are each as exact as the layer's largest activation; their errors add up as those
    of independent numbers do.
    """
    layer = array(scene.traced.outputs[scene.params.layer])[0]
    watched = np.abs(layer[scene.unit.map])
    return rounding(float(np.abs(layer).max()) * watched.size**0.5) + rounding(float(watched.sum()))


def is_lowered(scene: Scene, target: int, values: NDArray[np.float64]) -> bool:
    """Return whether any of the windows, whose values are given, lowers a class's value."""
    return bool(scene.clean[target] - values.min() > value_floor(scene, target))


def is_changed(clean: float, values: NDArray[np.floating], floor: float) -> bool:
    """Return whether any of the windows, whose values are given, moves a value from the clean one."""
    return bool(np.abs(values - clean).max() > floor)


def likeliest_of(scene: Scene, logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the likeliest class for each window, from class scores (windows, classes).

    Of classes whose scores differ by rounding only, it is the clean photo's, or else the first.
    """
    near = logits >= logits.max(axis=1, keepdims=True) - rounding(float(np.abs(logits).max()))
    clean = int(scene.clean.argmax())
    found: NDArray[np.int64] = np.where(near[:, clean], clean, near.argmax(axis=1)).astype(np.int64)
    return found
