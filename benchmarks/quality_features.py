"""Features of many photos for `benchmarks.quality`: dead maps, and linear probes of new classes."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress, track

from benchmarks.sample_photos import evenly_spaced
from zfscope.datasets import DataSet, read_photo
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.networks.stages import rectified_stages
from zfscope.probe import ProbeStage, plan_probe, probe_layers
from zfscope.processors import map_in_order
from zfscope.runtimes import create_runtime
from zfscope.store import Model

T = TypeVar("T")

# Photos of each class that a probe trains on and tests with.
TRAINED, TESTED = 15, 10
# Photos per forward pass, and passes whose results wait at once.
_BATCH, _AHEAD = 8, 4


def dead_maps(model: Model, data: DataSet, limit: int) -> Mapping[str, Mapping[str, float]]:
    """Return, for each layer, the share of the maps without an activation above 0 in `limit` photos."""
    layers, runtime = _rectified_layers(model), create_runtime("onnx", model, threads=1)
    numbers = evenly_spaced(len(data), limit)

    def maxima(images: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        return {layer: each.values.max(0) for layer, each in runtime.map_maxima(images, layers).items()}

    batches = list(_map_photos(maxima, model, data, numbers, "dead"))
    alive = {layer: np.stack([batch[layer] for batch in batches]).max(0) > 0 for layer in layers}
    return {layer: {"maps": each.size, "dead": float(1 - each.mean())} for layer, each in alive.items()}


def probe(model: Model, data: DataSet, left_out: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
    """Return, for each layer, the accuracy of a linear classifier of the data's classes, from 0 to 1.

    Classes with too few photos are left out.
    """
    counts = Counter(data.labels)
    few = {name for name in data.classes if counts[name] < TRAINED + TESTED}
    known = {*left_out} & {*data.classes}
    plan = plan_probe([TRAINED], test_per_class=TESTED, leave_out=[*few | known])
    with tempfile.TemporaryDirectory(prefix="zfscope-probe-") as scratch, Progress(transient=True) as bar:
        tasks = {
            stage: bar.add_task(f"{model.name}, probe, {stage.value}:", total=None) for stage in ProbeStage
        }

        def show(stage: ProbeStage, done: int, total: int) -> None:
            bar.update(tasks[stage], completed=done, total=total)

        result = probe_layers(model, data, Path(scratch) / "probe", plan, progress=show)
    return {
        row.layer: {"accuracy": row.accuracy / 100, "deviation": (row.deviation or 0) / 100}
        for row in result.accuracies
    }


def _rectified_layers(model: Model) -> tuple[str, ...]:
    return rectified_stages(model.spec, has_classes=bool(model.labels))


def _map_photos(
    function: Callable[[NDArray[np.float32]], T],
    model: Model,
    data: DataSet,
    numbers: Sequence[int],
    title: str,
) -> Iterator[T]:
    """Apply a function to batches of network inputs, (N, C, H, W), in a thread per processor."""

    def run(batch: Sequence[int]) -> T:
        photos = (decode(read_photo(data.photo(number))) for number in batch)
        inputs = [prepare(photo, model.preprocessing, mean_image=model.mean_image).pixels for photo in photos]
        return function(np.concatenate(inputs))

    batches = [numbers[start : start + _BATCH] for start in range(0, len(numbers), _BATCH)]
    results = map_in_order(run, batches, ahead=_AHEAD)
    yield from track(results, f"{model.name}, {title}:", total=len(batches), transient=True)
