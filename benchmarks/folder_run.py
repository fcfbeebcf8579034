"""An analysis of every photo of a data set by `zfscope run`, compared with calls of LocalClient in a row.

    python -m benchmarks.folder_run photos/val
    python -m benchmarks.folder_run photos/val --photos 20 --rounds 1 --engine local
    python -m benchmarks.folder_run photos/val --analyzer activations --pictures

Photos are taken evenly from the data set. A call in a row is `LocalClient.analyze` with its defaults, on the
bytes of a file; with --pictures, it also writes the pictures. A run starts with the model loaded; its time
includes reading the photos, saving each outcome and writing the results, and for Ray also the start of its
cluster and actors. All use the processors available to this process and run in turn; times are medians.

The last line is a JSON object for programs.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.clock import machine, timed
from zfscope import LocalClient
from zfscope.analysis.registry import load_analyzers
from zfscope.bulk import AnalysisTask, PhotoAnalyzer, SingleModelHost, analyze_photos
from zfscope.choices import EngineName
from zfscope.datasets import DataSet, open_data, read_photo
from zfscope.parallel import create_engine
from zfscope.runtimes import create_runtime

SINGLE = "LocalClient, calls in a row"


def main() -> None:
    """Time all ways in turn and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="photos")
    parser.add_argument("--analyzer", default="occlude")
    parser.add_argument("--photos", type=int, default=60, help="number of photos")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", action="store_true", help="also draw and write pictures")
    parser.add_argument("--engine", action="append", choices=[name.value for name in EngineName])
    options = parser.parse_args()
    console = Console()
    console.print(machine())
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch, LocalClient() as client:
        photos = sample(options.data, options.photos, Path(scratch))
        work = bulk_work(client, options.analyzer, pictures=options.pictures)
        client.analyze(options.analyzer, [read_photo(photos.photo(0))])
        ways: dict[str, Callable[[Path], object]] = {
            SINGLE: partial(in_a_row, client, options.analyzer, photos, pictures=options.pictures)
        }
        for name in options.engine or [name.value for name in EngineName]:
            ways[name] = partial(run, work, photos, name)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(options.rounds):
            for name, way in ways.items():
                seconds[name].append(timed(partial(way, Path(scratch) / f"{name[:5]}-{number}")))
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    console.print(table(medians, len(photos), options.analyzer))
    ratios = {name: medians[SINGLE] / each for name, each in medians.items() if name != SINGLE}
    summary = {"analyzer": options.analyzer, "photos": len(photos), "pictures": options.pictures}
    print(json.dumps({**summary, "seconds": seconds, "throughput_relative_to_single_calls": ratios}))


def sample(data: Path, count: int, scratch: Path) -> DataSet:
    """Return photos that are evenly spread over a data set."""
    whole = open_data(data)
    numbers = sorted({index * len(whole) // count for index in range(count)})
    paths = [str(whole.photo(number).file) for number in numbers]
    (scratch / "photos.txt").write_text("\n".join(paths), encoding="utf-8")
    return open_data(scratch / "photos.txt")


def bulk_work(client: LocalClient, analyzer: str, *, pictures: bool) -> PhotoAnalyzer:
    """Return the work of a run with the client's default model, as `zfscope run` creates it."""
    model = client.store.load()
    package = load_analyzers().registered(analyzer).package
    host = SingleModelHost(model, client.store, partial(create_runtime, "onnx", threads=1), analyzer, package)
    return PhotoAnalyzer(host, AnalysisTask(pictures=pictures))


def in_a_row(client: LocalClient, analyzer: str, photos: DataSet, out: Path, *, pictures: bool) -> None:
    """Analyze all photos one after the other, each on all processors."""
    client.trace_cache.clear()
    out.mkdir()
    for number in range(len(photos)):
        photo = read_photo(photos.photo(number))
        analyzed = client.analyze(analyzer, [photo], pictures=pictures)
        for picture in analyzed.analysis.pictures:
            picture.save(out / f"{number}-{picture.name}.png")


def run(work: PhotoAnalyzer, photos: DataSet, engine: str, out: Path) -> None:
    """Analyze all photos by an engine."""
    work.host.trace_cache.clear()
    analyze_photos(work, photos, out, engine=create_engine(engine))


def table(seconds: Mapping[str, float], photos: int, analyzer: str) -> Table:
    """Return a table of the medians."""
    rows = Table("", "seconds", "photos/s", "relative throughput", title=f"{analyzer} of {photos} photos")
    for name, each in seconds.items():
        rows.add_row(name, f"{each:.1f}", f"{photos / each:.2f}", f"{seconds[SINGLE] / each:.2f} x")
    return rows


if __name__ == "__main__":
    main()
