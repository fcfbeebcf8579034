"""How far windows change what the network says, beyond what rounding changes."""

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import array
from zfscope.rounding import rounding
from zfscope_analyzers.occlude.scene import Scene


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
