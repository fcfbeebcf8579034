"""The features of `zfscope probe`, compared with the bare forward pass over the same decoded photos.

    python -m benchmarks.probe photos
    python -m benchmarks.probe photos --model alexnet-imagenet --photos 320

ZFScope's time is that of the first stage of a probe with the model loaded: it reads, decodes and runs the
photos, pools all layers, and writes features and journal. The bare forward pass is the same network up to the
last probed layer, without pooling, in a default ONNX Runtime session, on the same photos, decoded and in
memory, with the fastest batch size. Reading, decoding and preparing the photos alone, in as many threads, is
timed too. All use the processors available to this process and run in turn, several times; ratios are ratios
of medians.

The last line is a JSON object for programs.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.clock import machine, timed
from benchmarks.sample_photos import evenly_spaced, sample_photos
from benchmarks.scan import BATCHES, bare_session
from zfscope.datasets import DataSet, open_data
from zfscope.location import find_store
from zfscope.probe import ProbeStage, plan_probe, probe_layers
from zfscope.probe.build import select_layers
from zfscope.processors import map_as_done
from zfscope.runtimes import Runtime, create_runtime
from zfscope.scan.scanner import read_input
from zfscope.store import Model, ModelStore

OURS, BARE, DECODING = "ZFScope", "bare forward pass", "reading and decoding"


def main() -> None:
    """Time all in turn, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="photos with classes: directory, tar or list of photos")
    parser.add_argument("--model", default="", help="model (default: the store's)")
    parser.add_argument("--store", type=Path, help="model store (default: zfscope's)")
    parser.add_argument("--photos", type=int, default=960, help="number of photos (default: 960)")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default: 3)")
    options = parser.parse_args()
    console = Console(width=120)
    console.print(f"{machine()}, onnxruntime {onnxruntime.__version__}")
    model = ModelStore(find_store(options.store)).load(options.model, None)
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch:
        times = measure(model, options.data, options.photos, options.rounds, Path(scratch))
    console.print(table(model, times))
    result = {
        "benchmark": "probe",
        "model": f"{model.name}:{model.version}",
        "ratio_of_bare_forward": round(times[BARE] / times[OURS], 3),
        "ratio_of_decoding_and_bare_forward": round((times[BARE] + times[DECODING]) / times[OURS], 3),
    }
    print(json.dumps(result))


def measure(model: Model, data: Path, count: int, rounds: int, scratch: Path) -> Mapping[str, float]:
    """Return the median times in seconds per photo."""
    photos = write_list(open_data(data), count, scratch)
    images = np.concatenate([image.numpy() for image in sample_photos(model, scratch / "photos.txt", count)])
    last = select_layers(model.spec, [], has_classes=bool(model.labels))[-1]
    session, runtime = bare_session(model, last), create_runtime("onnx", model, threads=1)
    runs: dict[str, Callable[[], float]] = {
        OURS: lambda: extract(model, photos, runtime, scratch),
        DECODING: lambda: timed(lambda: decode_all(model, photos)),
    }
    for batch in BATCHES:
        runs[f"{BARE}, {batch}"] = lambda batch=batch: timed(lambda: run_bare(session, images, batch))
    times: dict[str, list[float]] = {name: [] for name in runs}
    runs[OURS]()  # exports the graph and opens the session
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(run() / len(photos))
    medians = {name: median(seconds) for name, seconds in times.items()}
    return medians | {BARE: min(medians[f"{BARE}, {batch}"] for batch in BATCHES)}


def write_list(data: DataSet, count: int, scratch: Path) -> DataSet:
    """Return a data set of evenly spaced photos, half of them in each of two classes."""
    chosen = [data.photo(number).file for number in evenly_spaced(len(data), count)]
    lines = (f"{path.resolve()}\t{'ab'[number % 2]}\n" for number, path in enumerate(chosen))
    (scratch / "photos.txt").write_text("".join(lines))
    return open_data(scratch / "photos.txt")


def extract(model: Model, photos: DataSet, runtime: Runtime, scratch: Path) -> float:
    """Probe the photos; return the seconds that their features take."""
    reports: list[float] = []

    def report(stage: ProbeStage, done: int, total: int) -> None:
        if stage is ProbeStage.features:
            reports.append(time.perf_counter())

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        probe_layers(
            model, photos, Path(folder) / "it", plan_probe((1,), splits=1), runtime=runtime, progress=report
        )
    return reports[-1] - reports[0]


def decode_all(model: Model, photos: DataSet) -> None:
    """Read, decode and prepare all photos, in a thread per processor."""
    numbers: Sequence[int] = range(len(photos))
    prepared = map_as_done(
        lambda number: read_input(photos.photo(number), model.preprocessing, model.mean_image), numbers
    )
    for _ in prepared:
        pass


def run_bare(session: onnxruntime.InferenceSession, images: NDArray[np.float32], batch: int) -> None:
    """Run all images in batches."""
    for start in range(0, len(images), batch):
        session.run(None, {"input": images[start : start + batch]})


def table(model: Model, times: Mapping[str, float]) -> Table:
    """Return the table of times."""
    drawn = Table("", "ms per photo", title=f"{model.name} version {model.version}", title_justify="left")
    for name, seconds in times.items():
        drawn.add_row(name, f"{1000 * seconds:.2f}")
    return drawn


if __name__ == "__main__":
    main()
