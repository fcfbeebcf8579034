"""Are photos and maps ranked by the maximum or by the sum of a map? How far the two agree, per layer.

    python -m benchmarks.ranking photos/val
    python -m benchmarks.ranking photos/val --model squeezenet-imagenet --layers relu1,fire3,fire5,fire7,fire9

Two indexes of a data set are built, with the nine strongest photos of each map by its largest activation and
by the sum of its activations. Over the maps that at least nine photos activate, it prints for each layer:

- common: mean number of photos that are in both lists of nine; two random lists would share 81 / photos
- disjoint: share of the maps whose lists have no photo in common
- by_max, by_sum: mean number of the nine photos that belong to their most frequent class; the chance level is
  that of nine random photos
- pure_by_max, pure_by_sum: share of the maps whose nine photos are of one class
- peak: largest activation in the photos ranked by sum, relative to those ranked by maximum, by rank: a
  projection of the map starts from it (median)
- maps: mean number of a photo's nine strongest maps that both rankings share, over some of the photos

The last line is a JSON object for programs.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import get_args

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

from benchmarks.clock import machine
from benchmarks.sample_photos import sample_photos
from zfscope.engine import Rank, trace
from zfscope.engine.seeds import ranked_maps
from zfscope.runtimes import create_runtime
from zfscope.scan import DataSet, Index, Record, build_index, open_data, plan_scan
from zfscope.store import Model, open_store

LAYERS = "relu1,relu2,relu3,relu4,relu5"
TOP = 9
RANKS: Sequence[Rank] = get_args(Rank)
# Random lists of nine photos that the chance level is the mean of.
DRAWS = 10_000

# The nine strongest photos of a map, by ranking.
Lists = Mapping[Rank, Sequence[Record]]


def main() -> None:
    """Build both indexes, compare them, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="data set: directory with a folder per class, or tar")
    parser.add_argument("--store", type=Path, help="model store (default: that of zfscope)")
    parser.add_argument("--model", default="", help="model (default: that of the store)")
    parser.add_argument("--layers", default=LAYERS, help=f"layers (default: {LAYERS})")
    parser.add_argument(
        "--photos", type=int, default=100, help="photos whose maps are ranked, evenly spaced (default: 100)"
    )
    options = parser.parse_args()
    console = Console(width=120)
    model, data = open_store(options.store).load(options.model), open_data(options.data)
    layers = options.layers.split(",")
    console.print(f"{model.name} version {model.version}, {len(data)} photos; {machine()}")
    indexes = {rank: make_index(model, data, layers, rank, console) for rank in RANKS}
    images = sample_photos(model, options.data, options.photos)
    chance = chance_level(data)
    maps = common_maps(model, images, layers)
    results = {layer: {**compare(indexes, layer), "maps": maps[layer]} for layer in layers}
    console.print(table(results, chance))
    facts = {"model": model.name, "photos": len(data), "chance": chance}
    print(json.dumps({"benchmark": "ranking", **facts, **results}))


def make_index(model: Model, data: DataSet, layers: Sequence[str], rank: Rank, console: Console) -> Index:
    """Build an index in a temporary folder."""
    plan = plan_scan(model.spec, layers, top=TOP, rank=rank)
    runtime = create_runtime("onnx", model, threads=1)
    with (
        tempfile.TemporaryDirectory(prefix="zfscope-bench-") as folder,
        Progress(console=console, transient=True) as progress,
    ):
        task = progress.add_task(f"by {rank}", total=len(data))
        return build_index(
            model,
            data,
            plan,
            Path(folder) / rank,
            runtime=runtime,
            progress=lambda done, total: progress.update(task, completed=done),
        )


def compare(indexes: Mapping[Rank, Index], layer: str) -> Mapping[str, float]:
    """Return the measures of a layer."""
    active = np.flatnonzero(indexes["max"].alive(layer) >= TOP).tolist()
    lists: list[Lists] = [
        {rank: index.records(layer, number) for rank, index in indexes.items()} for number in active
    ]
    common = [len({r.path for r in each["max"]} & {r.path for r in each["sum"]}) for each in lists]
    frequent = {rank: [most_frequent([r.label for r in each[rank]]) for each in lists] for rank in RANKS}
    peaks = [
        of_sum.value / of_max.value
        for each in lists
        for of_max, of_sum in zip(each["max"], each["sum"], strict=True)
    ]
    return {
        "active": len(active),
        "common": round(mean(common), 2),
        "disjoint": round(mean(count == 0 for count in common), 3),
        **{f"by_{rank}": round(mean(counts), 2) for rank, counts in frequent.items()},
        **{f"pure_by_{rank}": round(mean(n == TOP for n in counts), 3) for rank, counts in frequent.items()},
        "peak": round(median(peaks), 3),
    }


def most_frequent(labels: Sequence[str]) -> int:
    """Return how often the most frequent label occurs."""
    return Counter(labels).most_common(1)[0][1]


def chance_level(data: DataSet) -> float:
    """Return the mean number of nine random photos that belong to their most frequent class."""
    generator = np.random.default_rng(0)
    draws = (generator.choice(len(data), TOP, replace=False) for _ in range(DRAWS))
    return round(mean(most_frequent([data.labels[number] for number in numbers]) for numbers in draws), 2)


def common_maps(model: Model, images: Sequence[Tensor], layers: Sequence[str]) -> Mapping[str, float]:
    """Return, by layer, the mean number of a photo's nine strongest maps that both rankings share."""
    counts: dict[str, list[int]] = {layer: [] for layer in layers}
    for image in images:
        traced = trace(model.network, image, until=layers[-1])
        for layer in layers:
            by_max, by_sum = (ranked_maps(traced, layer, 0, rank=rank)[:TOP] for rank in RANKS)
            counts[layer].append(len({*by_max} & {*by_sum}))
    return {layer: round(mean(common), 2) for layer, common in counts.items()}


def table(results: Mapping[str, Mapping[str, float]], chance: float) -> Table:
    """Return the measures, with a row for each layer."""
    columns = list(next(iter(results.values())))
    rows = Table("layer", *columns, title=f"nine photos per map; chance level of by_max and by_sum: {chance}")
    for layer, values in results.items():
        rows.add_row(layer, *(f"{value:g}" for value in values.values()))
    return rows


if __name__ == "__main__":
    main()
