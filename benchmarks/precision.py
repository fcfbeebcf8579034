"""What bfloat16 costs: accuracy, occlusion maps and indexes in bfloat16 against those in float32.

    python -m benchmarks.precision photos/val
    python -m benchmarks.precision photos/val --model alexnet-imagenette --photos 50 --layers conv1,conv5

DATA is a folder with a subfolder per class. Everything is computed twice with the torch runtime, once in each
precision, and the table compares:

- accuracy: top-1 and top-5 of all photos, in percent
- occlusion: the maps of the most likely class of some photos, with the default windows, recomputed where they
  change. Differences are shares of the range of the map in float32: the median and the largest over the
  pixels of a map, of which the table has the median and the largest over the photos. The minimum of a map is
  in place if its window is at most one stride away, in rows and in columns
- index: of the nine strongest photos of each active map, the share that both indexes have (photos), and the
  share of records that are equal in photo, rank and unit (records)

The last line is a JSON object for programs. Needs a processor with AMX or AVX512-BF16.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.clock import machine
from benchmarks.sample_photos import evenly_spaced
from zfscope.choices import PrecisionName
from zfscope.datasets import open_data, read_photo
from zfscope.local import LocalClient
from zfscope.results import Analysis
from zfscope.runtimes import create_runtime
from zfscope.scan import Index, build_index, plan_scan
from zfscope.store import Model, open_store
from zfscope.training.evaluate import MeasuredAccuracy, evaluate_model

TOP = 9
PRECISIONS = (PrecisionName.float32, PrecisionName.bfloat16)


@dataclass(frozen=True)
class MapDifference:
    """Difference of two occlusion maps, relative to the range of the first.

    median, largest: over the pixels. in_place: whether the minimum is at most one stride away.
    """

    median: float
    largest: float
    in_place: bool


def main() -> None:
    """Measure accuracy, occlusion and indexes, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="labelled photos: a folder with a subfolder per class")
    parser.add_argument("--store", type=Path, help="model store (default: that of zfscope)")
    parser.add_argument("--model", default="", help="model (default: that of the store)")
    parser.add_argument("--photos", type=int, default=20, help="photos to occlude (default: 20)")
    parser.add_argument("--layers", default="", help="layers to index (default: all convolutions)")
    options = parser.parse_args()
    console = Console(width=120)
    model = open_store(options.store).load(options.model)
    console.print(f"{model.name} version {model.version}; {machine()}")
    layers = [name for name in options.layers.split(",") if name]
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as folder:
        scratch = Path(folder)
        accuracy = {each: measure_accuracy(model, options.data, each, scratch) for each in PRECISIONS}
        maps = compare_occlusion(model, options.data, options.photos, console)
        indexes = [make_index(model, options.data, layers, each, scratch, console) for each in PRECISIONS]
        shared = {layer: shared_records(*indexes, layer) for layer in indexes[0].layers}
    console.print(table(accuracy, maps, shared))
    print(json.dumps({"benchmark": "precision", "model": model.name, **summary(accuracy, maps, shared)}))


def measure_accuracy(model: Model, data: Path, precision: str, scratch: Path) -> MeasuredAccuracy:
    """Return the accuracy of centre crops; decoded photos are kept in `scratch`."""
    cache = scratch / precision
    cache.mkdir()
    return evaluate_model(model, data, ten_crop=False, precision=precision, cache=cache).accuracy


def compare_occlusion(model: Model, data: Path, count: int, console: Console) -> Sequence[MapDifference]:
    """Compare the occlusion maps of evenly spaced photos in both precisions."""
    photos = open_data(data)
    assert model.folder is not None
    store = model.folder.parent.parent
    clients = [LocalClient(store, runtime="torch", precision=each) for each in PRECISIONS]
    differences = []
    with Progress(console=console, transient=True) as progress:
        for number in progress.track(evenly_spaced(len(photos), count), description="occlusion"):
            photo = read_photo(photos.photo(number))
            differences.append(compare_maps(*(occlude(client, model, photo) for client in clients)))
    return differences


def occlude(client: LocalClient, model: Model, photo: bytes) -> Analysis:
    """Return the occlusion analysis of a photo, recomputed where windows change it."""
    return client.analyze(
        "occlude",
        [photo],
        {"method": "incremental"},
        model=model.name,
        version=model.version,
        pictures=False,
        tensors=True,
    ).analysis


def compare_maps(exact: Analysis, rough: Analysis) -> MapDifference:
    """Compare the maps of the first class, and the windows that lower it most."""
    heat = exact.tensors["value-maps"][0].astype(np.float64)
    apart = np.abs(rough.tensors["value-maps"][0] - heat) / np.ptp(heat)
    lowest = [each.tensors["windows"][each.tensors["values"][0].argmin(), :2] for each in (exact, rough)]
    in_place = bool((np.abs(lowest[0] - lowest[1]) <= stride_of(exact.tensors["windows"])).all())
    return MapDifference(float(np.median(apart)), float(apart.max()), in_place)


def stride_of(windows: NDArray[np.int64]) -> int:
    """Return the distance between neighbouring windows, (windows, 4) with rows and columns first."""
    return int(np.diff(np.unique(windows[:, 0])).max())


def make_index(
    model: Model, data: Path, layers: Sequence[str], precision: str, scratch: Path, console: Console
) -> Index:
    """Build an index in a precision."""
    photos, plan = open_data(data), plan_scan(model.spec, layers, top=TOP)
    runtime = create_runtime("torch", model, precision=precision)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"index in {precision}", total=len(photos))
        return build_index(
            model,
            photos,
            plan,
            scratch / f"index-{precision}",
            runtime=runtime,
            progress=lambda done, total: progress.update(task, completed=done),
        )


def shared_records(exact: Index, rough: Index, layer: str) -> Mapping[str, float]:
    """Return the shares of equal photos and of equal records, in percent, over the maps that are active."""
    maps = np.flatnonzero(exact.alive(layer) >= TOP).tolist()
    pairs = [(exact.records(layer, number), rough.records(layer, number)) for number in maps]
    photos = [len({r.path for r in one} & {r.path for r in other}) / TOP for one, other in pairs]
    records = [
        sum((a.path, a.y, a.x) == (b.path, b.y, b.x) for a, b in zip(one, other, strict=True)) / TOP
        for one, other in pairs
    ]
    return {
        "maps": len(maps),
        "photos": round(100 * mean(photos), 2),
        "records": round(100 * mean(records), 2),
    }


def summary(
    accuracy: Mapping[str, MeasuredAccuracy],
    maps: Sequence[MapDifference],
    shared: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Return all measures as a JSON object; differences of maps in percent of their range."""
    return {
        "photos": accuracy[PrecisionName.float32].images,
        "top1": {name.value: accuracy[name].top1 for name in PRECISIONS},
        "top5": {name.value: accuracy[name].top5 for name in PRECISIONS},
        "occlusion": {
            "photos": len(maps),
            "median": round(100 * median(each.median for each in maps), 3),
            "worst_median": round(100 * max(each.median for each in maps), 3),
            "median_of_largest": round(100 * median(each.largest for each in maps), 3),
            "largest": round(100 * max(each.largest for each in maps), 3),
            "in_place": sum(each.in_place for each in maps),
        },
        "index": {layer: dict(values) for layer, values in shared.items()},
    }


def table(
    accuracy: Mapping[str, MeasuredAccuracy],
    maps: Sequence[MapDifference],
    shared: Mapping[str, Mapping[str, float]],
) -> Table:
    """Return the measures as a table."""
    measured = summary(accuracy, maps, shared)
    rows = Table("measure", *PRECISIONS, "difference", title=f"{measured['photos']} photos")
    for name in ("top1", "top5"):
        exact, rough = (measured[name][each.value] for each in PRECISIONS)
        rows.add_row(f"{name}, %", f"{exact:g}", f"{rough:g}", f"{rough - exact:+.2f}")
    of_maps = measured["occlusion"]
    for name, first, last in (
        ("median", "median", "worst_median"),
        ("largest", "median_of_largest", "largest"),
    ):
        label = f"occlusion, {name} difference, % of range"
        rows.add_row(label, "", "", f"{of_maps[first]:g} (worst photo: {of_maps[last]:g})")
    rows.add_row("occlusion, minima in place", "", "", f"{of_maps['in_place']} of {of_maps['photos']}")
    for layer, values in shared.items():
        rows.add_row(
            f"{layer}, {values['maps']} maps, % equal",
            "",
            "",
            f"photos {values['photos']:g}, records {values['records']:g}",
        )
    return rows


if __name__ == "__main__":
    main()
