"""A scan of JPEG photos for the top 9 of every map, compared with the bare forward pass and simple loops.

    python -m benchmarks.scan
    python -m benchmarks.scan --quick
    python -m benchmarks.scan --data photos/val
    python -m benchmarks.scan --precision bfloat16

The network is the paper's with 1000 classes: 62 million weights from N(0, sqrt(2 / fan-in)); the layers are
conv1 to conv5 and fc7. The photos are random crops of the sample photos of scikit-image and scikit-learn, 256
to 340 pixels wide, or those of a given directory.

ZFScope's time is that of `build_index` with the model loaded: it reads, decodes and runs the photos, saves
its state and writes the index. The bare forward pass is the same exported network up to fc7 without
reductions, in a default ONNX Runtime session, on images in memory, with the fastest batch size. "One by one"
is the loop that a user would write: decode a photo, run one pass by torch with hooks on an `nn.Sequential` of
torch's own layers (same weights), take numpy's argmax per layer, and insert each map's maximum into its top
nine, as the Deep Visualization Toolbox does (Yosinski et al. 2015). A faster variant keeps all maxima in
memory and sorts them at the end.

With --precision bfloat16, ZFScope runs in bfloat16 by torch; the others stay in float32. Needs a processor
with AMX or AVX512-BF16.

All use the processors available to this process and run in turn, several
times; ratios are ratios of medians.

Memory is the peak of a separate process during a scan of an eighth of the photos and of all of them.

The last line is a JSON object for programs.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from torch import nn

from benchmarks.clock import machine, timed
from benchmarks.precisions import add_precision_option
from benchmarks.sequential import as_sequential
from zfscope.choices import runtime_for
from zfscope.images.decode import decode
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.networks import build, zfnet
from zfscope.networks.spec import shapes
from zfscope.runtimes import Runtime, create_runtime
from zfscope.runtimes.onnx.graph import partial_graph
from zfscope.scan import DataSet, ScanPlan, build_index, open_data, plan_scan
from zfscope.store import Label, Manifest, Model, Provenance, Weights

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc7")
TOP = 9
BATCHES = (1, 4, 8, 16, 32)
SOURCES = (
    ("sklearn.datasets.images", "china.jpg"),
    ("sklearn.datasets.images", "flower.jpg"),
    ("skimage.data", "astronaut.png"),
    ("skimage.data", "chelsea.png"),
    ("skimage.data", "coffee.png"),
    ("skimage.data", "rocket.jpg"),
)
# Number of distinct photos; further ones are links to the same files.
DISTINCT = 1000
OURS, BARE = "ZFScope", "bare forward pass"
ONE_BY_ONE, SORTED = "one by one, map by map", "one by one, sorted at the end"


@dataclass(frozen=True)
class ScanSizes:
    """Number of photos per run. memory: photos of the scan whose memory is measured."""

    scan: int = 1000
    bare: int = 256
    one_by_one: int = 256
    memory: int = 8000
    rounds: int = 3


QUICK = ScanSizes(scan=160, bare=64, one_by_one=64, memory=800, rounds=3)


def main() -> None:
    """Write the photos, time all, measure memory, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="directory of photos (default: random crops of sample photos)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer photos")
    add_precision_option(parser)
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    precision: str = options.precision
    if options.peak:
        print(peak_mib(options.data, precision))
        return
    sizes, console = QUICK if options.quick else ScanSizes(), Console()
    console.print(f"{machine()}, onnxruntime {onnxruntime.__version__}")
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch:
        few, many = sizes.memory // 8, sizes.memory
        folders = {
            count: photos(Path(scratch) / str(count), count, options.data)
            for count in {sizes.scan, few, many}
        }
        times = measure(make_setup(Path(scratch), precision), folders[sizes.scan], sizes, console)
        console.print(table(times))
        first, last = (peak_of_a_process(folders[count], precision) for count in (few, many))
    console.print(f"peak memory with {few} photos: {first} MiB; with {many} photos: {last} MiB")
    result = {
        "benchmark": "scan",
        "precision": precision,
        "ratio_of_bare_forward": round(times[BARE] / times[OURS], 3),
        "ratio_vs_one_by_one": round(times[ONE_BY_ONE] / times[OURS], 2),
        "ratio_vs_one_by_one_sorted": round(times[SORTED] / times[OURS], 2),
        "rss_growth_1k_to_8k_images": round(last / first - 1, 4),
    }
    print(json.dumps(result))


def photos(folder: Path, count: int, data: Path | None) -> Path:
    """Fill a directory with `count` links to random crops, or to the photos of a given directory."""
    folder.mkdir()
    drawn = folder.with_name(f"{folder.name}-drawn")
    sources = sorted(open_data(data).names) if data else []
    originals = [data.resolve() / name for name in sources] if data else draw(drawn, min(count, DISTINCT))
    for number in range(count):
        original = originals[number % len(originals)]
        (folder / f"{number:05}{original.suffix}").symlink_to(original)
    return folder


def draw(folder: Path, count: int) -> list[Path]:
    """Write random crops of the sample photos as JPEG files."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    samples = [
        Image.fromarray(decode(files(package).joinpath(name).read_bytes())) for package, name in SOURCES
    ]
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        sample = samples[number % len(samples)]
        width, side = int(generator.integers(256, 341)), generator.uniform(0.4, 0.7) * min(sample.size)
        x, y = (generator.uniform(0, length - side) for length in sample.size)
        crop = sample.resize((width, 256), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side))
        crop.save(path, quality=90)
    return paths


def make_model() -> Model:
    """Return the paper's network with random weights, as a model of a store."""
    network = build(zfnet(), generator=torch.Generator().manual_seed(0)).eval().requires_grad_(False)
    manifest = Manifest(
        name="zfnet",
        version=1,
        summary="",
        network=network.spec,
        preprocessing=Preprocessing(std=(58.4, 57.1, 57.4)),
        labels=tuple(Label(id=str(number), name=str(number)) for number in range(1000)),
        provenance=Provenance(source="random weights"),
        files={"weights.safetensors": "0" * 64},
    )
    return Model(manifest, Weights.from_network(network))


@dataclass(frozen=True)
class ScanSetup:
    """A loaded model, ready to scan."""

    model: Model
    plan: ScanPlan
    runtime: Runtime
    scratch: Path

    def scan(self, data: DataSet, **options: Any) -> None:
        """Build an index and delete it."""
        target = self.scratch / "index"
        build_index(self.model, data, self.plan, target, runtime=self.runtime, **options)
        shutil.rmtree(target)


def make_setup(scratch: Path, precision: str) -> ScanSetup:
    """Load the model and its runtime; the graph is exported to `scratch`."""
    model = make_model()
    plan = plan_scan(model.network.spec, LAYERS, top=TOP)
    runtime = create_runtime(
        runtime_for(precision), model, threads=1, cache=scratch / "graphs", precision=precision
    )
    side = model.spec.input_size
    runtime.map_maxima(np.zeros((1, 3, side, side), np.float32), plan.layers)
    return ScanSetup(model, plan, runtime, scratch)


def bare_session(model: Model, last: str = LAYERS[-1]) -> onnxruntime.InferenceSession:
    """Open a default ONNX Runtime session on the network up to the last layer."""
    output = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", *shapes(model.spec)[last]])
    graph = partial_graph(model.spec, model.weights.arrays(), [last], [], [output])
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def run_bare(session: onnxruntime.InferenceSession, images: NDArray[np.float32], count: int) -> None:
    """Run a batch of images repeatedly, `count` images in all."""
    for _ in range(0, count, len(images)):
        session.run(None, {"input": images})


class TopMaxima:
    """The top photos of each map of a layer, updated map by map."""

    def __init__(self, maps: int) -> None:
        self.values = np.full((maps, TOP), -np.inf, np.float32)
        self.positions = np.zeros((maps, TOP, 2), np.int64)

    def add(self, photo: int, values: NDArray[np.float32], positions: NDArray[np.int64]) -> None:
        """Insert a photo's maxima in ascending order."""
        for feature_map, value in enumerate(values):
            rank = np.searchsorted(self.values[feature_map], value)
            if rank:
                self.values[feature_map, : rank - 1] = self.values[feature_map, 1:rank]
                self.positions[feature_map, : rank - 1] = self.positions[feature_map, 1:rank]
                self.values[feature_map, rank - 1], self.positions[feature_map, rank - 1] = (
                    value,
                    (photo, positions[feature_map]),
                )


class AllMaxima:
    """The maxima of each map over all photos, sorted at the end."""

    def __init__(self, maps: int) -> None:
        self.photos: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []

    def add(self, photo: int, values: NDArray[np.float32], positions: NDArray[np.int64]) -> None:
        """Store a photo's maxima."""
        self.photos.append((values, positions))

    def top(self) -> NDArray[np.int64]:
        """Return the top photos of each map: (TOP, maps)."""
        return np.argsort(-np.stack([values for values, _ in self.photos]), axis=0, kind="stable")[:TOP]


@torch.no_grad()
def run_one_by_one(
    network: nn.Sequential,
    paths: Sequence[Path],
    preprocessing: Preprocessing,
    kind: type[TopMaxima | AllMaxima],
) -> None:
    """Find the top photos of every map with the loop that a user would write."""
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: outputs.update({name: output})

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in LAYERS]
    maxima: dict[str, TopMaxima | AllMaxima] = {}
    for number, path in enumerate(paths):
        network(torch.from_numpy(prepare(decode(path.read_bytes()), preprocessing).pixels))
        for name in LAYERS:
            maps = outputs[name][0].numpy().reshape(outputs[name].shape[1], -1)
            positions = maps.argmax(1)
            layer = maxima.setdefault(name, kind(len(maps)))
            layer.add(number, maps[np.arange(len(maps)), positions], positions)
    for layer in maxima.values():
        if isinstance(layer, AllMaxima):
            layer.top()
    for hook in hooks:
        hook.remove()


def measure(ours: ScanSetup, data: Path, sizes: ScanSizes, console: Console) -> Mapping[str, float]:
    """Time all in turn and return the medians in seconds per photo."""
    listed, paths = open_data(data), sorted(data.iterdir())[: sizes.one_by_one]
    session, sequential = bare_session(ours.model), as_sequential(ours.model.network)
    images = np.concatenate(
        [
            prepare(decode(path.read_bytes()), ours.model.preprocessing).pixels
            for path in paths[: max(BATCHES)]
        ]
    )
    runs: dict[str, tuple[int, Callable[[], None]]] = {
        OURS: (len(listed), lambda: ours.scan(listed)),
        **{
            name: (len(paths), partial(run_one_by_one, sequential, paths, ours.model.preprocessing, kind))
            for name, kind in ((ONE_BY_ONE, TopMaxima), (SORTED, AllMaxima))
        },
    }
    for batch in BATCHES:
        repeated = np.resize(images, (batch, *images.shape[1:]))
        runs[f"{BARE}, {batch}"] = (sizes.bare, partial(run_bare, session, repeated, sizes.bare))
    times: dict[str, list[float]] = {name: [] for name in runs}
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("warming up", total=sizes.rounds * len(runs))
        run_bare(session, images[:8], 8)
        for repeat in range(sizes.rounds):
            for name, (count, run) in runs.items():
                progress.update(task, advance=1, description=f"round {repeat + 1} of {sizes.rounds}: {name}")
                times[name].append(timed(run) / count)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return medians | {BARE: min(medians[f"{BARE}, {batch}"] for batch in BATCHES)}


def peak_of_a_process(data: Path, precision: str) -> int:
    """Scan a directory in a separate process and return its peak memory in MiB."""
    options = ["--peak", "--data", str(data), "--precision", precision]
    command = [sys.executable, "-m", "benchmarks.scan", *options]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603  # our own module
    return int(output)


def peak_mib(data: Path, precision: str) -> int:
    """Scan a directory in this process and return the peak memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch:
        scanner = make_setup(Path(scratch), precision)
        Path("/proc/self/clear_refs").write_text(
            "5"
        )  # reset the peak, which includes the export of the graph
        scanner.scan(open_data(data))
    status = Path("/proc/self/status").read_text()  # getrusage would include the parent's peak
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def table(times: Mapping[str, float]) -> Table:
    """Return a table of the medians, in milliseconds per photo."""
    rows = Table("", "ms per photo", "relative to ZFScope", title="top 9 of every map, medians")
    for name, seconds in times.items():
        if name != BARE:
            rows.add_row(name, f"{1e3 * seconds:.1f}", f"{seconds / times[OURS]:.2f} x")
    return rows


if __name__ == "__main__":
    main()
