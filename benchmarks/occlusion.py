"""Occlusion sensitivity of one photo, compared with Captum's Occlusion on the same network.

    python -m benchmarks.occlusion
    python -m benchmarks.occlusion --window 16 --stride 4
    python -m benchmarks.occlusion --precision bfloat16

The network is the paper's with 1000 classes: 62 million weights from N(0, sqrt(2 / fan-in)), which keep the
scale of activations from layer to layer, so that classes differ and every window changes their scores.
ZFScope traces the photo once, recomputes the class scores of each window with `recompute`, and applies the
softmax. Captum's Occlusion runs an `nn.Sequential` of torch's own layers with the same weights and the
softmax, with its default of one window per pass (timed once) and with 8, 16, 32 and 64 windows per pass, of
which the fastest counts. All run in this process, in turn; ratios are ratios of medians.

The floor is the time that the multiply-adds of the changed values would take, for each window on its own and
with fully connected layers included, at the rate of torch's own convolutions in the same run (conv2 to conv5
on full maps of eight images). It leaves out the trace, pooling, normalisation and copies.

With --precision bfloat16, ZFScope recomputes in bfloat16, from a trace in float32; Captum and the floor stay
in float32. Needs a processor with AMX or AVX512-BF16.

Before timing, the class scores of all windows are compared with those of full passes. The error is the
largest difference relative to the largest change of a score by a window.

The last line is a JSON object for programs.
"""

import argparse
import json
import resource
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.resources import files

import numpy as np
import torch
from captum.attr import Occlusion
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from torch import Tensor, nn

from benchmarks.clock import machine, timed
from benchmarks.floor import RatedConvolutions
from benchmarks.precisions import add_precision_option
from benchmarks.sequential import as_sequential
from zfscope.engine import trace
from zfscope.engine.changes import ChangedRegion, changed_regions, multiply_adds
from zfscope.engine.occlusion import recompute
from zfscope.engine.signal import Signal
from zfscope.images.decode import decode
from zfscope.images.normalise import normalise
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.networks import Network, build, zfnet
from zfscope.networks.network import on_device
from zfscope.networks.precision import network_in
from zfscope.runtimes.precision import check_precision

SCORES = "fc8"
GREY = 128
BATCHES = (8, 16, 32, 64)
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.1}
OURS, CONVOLUTIONS = "ZFScope", "convolutions"
PREPROCESSING = Preprocessing(std=(58.4, 57.1, 57.4))


@dataclass(frozen=True)
class OcclusionComparison:
    """A photo, a network, the windows to occlude, and both methods to compute their effect.

    own: the network in the precision in which ZFScope recomputes.
    """

    network: Network
    own: Network
    images: Tensor
    grey: Tensor
    window: int
    stride: int
    rated: RatedConvolutions
    captum: Occlusion

    @cached_property
    def origins(self) -> Tensor:
        """Top row and left column of each window, (windows, 2), in Captum's row-major order."""
        last = self.images.shape[2] - self.window
        if not 0 < self.stride <= self.window or last < 0 or last % self.stride:
            raise SystemExit(
                f"window {self.window} with stride {self.stride} misses the image's edge; try 32 and 8"
            )
        starts = torch.arange(0, last + 1, self.stride)
        return torch.cartesian_prod(starts, starts)

    def scores(self) -> Tensor:
        """Return the class scores with each window greyed, by ZFScope: (windows, 1000)."""
        traced = trace(self.network, self.images)
        count = len(self.origins)
        filled = self.grey[:, :, : self.window, : self.window].expand(count, -1, -1, -1)
        changes = Signal(filled, torch.zeros(count, dtype=torch.int64), self.origins)
        scores = torch.empty(count, traced.outputs[SCORES].shape[1], device=self.images.device)
        for part in recompute(self.own, traced, changes, {SCORES}):
            if SCORES in part.outputs:
                scores[part.windows] = part.outputs[SCORES].values
        return scores

    def ours(self) -> Tensor:
        """Return the probability of the first class with each window greyed, by ZFScope: (windows,)."""
        return self.scores().softmax(1)[:, 0]

    def theirs(self, batch: int) -> Tensor:
        """Return Captum's attribution for the first class. batch: windows per pass."""
        attribution: Tensor = self.captum.attribute(
            self.images,
            sliding_window_shapes=(3, self.window, self.window),
            strides=(3, self.stride, self.stride),
            baselines=self.grey,
            target=0,
            perturbations_per_eval=batch,
        )
        return attribution

    @torch.no_grad()
    def scores_by_full_passes(self) -> Tensor:
        """Return the class scores with each window greyed, by full passes: (windows, 1000)."""
        scores = []
        for origins in torch.split(self.origins, 16):
            images = self.images.repeat(len(origins), 1, 1, 1)
            for image, (top, left) in zip(images, origins.tolist(), strict=True):
                area = (slice(None), slice(top, top + self.window), slice(left, left + self.window))
                image[area] = self.grey[0][area]
            scores.append(self.network(images))
        return torch.cat(scores)

    def changed_work(self) -> int:
        """Return the multiply-adds of all values that change, summed over the windows."""
        pixels = ChangedRegion(self.origins, self.origins + self.window)
        regions = changed_regions(self.network, pixels, self.network.spec.layers)
        return sum(
            multiply_adds(self.network, name) * int(region.sizes.prod(1).sum())
            for name, region in regions.items()
        )


def main() -> None:
    """Compare the results, time all, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--window", type=int, default=32, help="side of a window in pixels (default: 32)")
    parser.add_argument(
        "--stride", type=int, default=8, help="distance between windows in pixels (default: 8)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each (default: 3)")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="device of the network (default: cpu)"
    )
    add_precision_option(parser)
    options = parser.parse_args()
    console = Console()
    check_precision(options.precision, runtime="torch", device=options.device)
    comparison = make_comparison(options.window, options.stride, options.device, options.precision)
    windows = len(comparison.origins)
    console.print(machine(options.device))
    scores = comparison.scores()
    console.print(f"peak memory of the process before Captum runs: {peak_mib()} MiB")
    error = relative_error(comparison, scores)
    if error > (allowed := TOLERANCE[options.precision]):
        raise SystemExit(f"results differ by {error:.1e} of the largest change; allowed: {allowed:.0e}")
    console.print(f"{windows} windows agree with full passes to {error:.0e} of the largest change")
    times = measure(comparison, options.repeats, console)
    rate = comparison.rated.work() / times[CONVOLUTIONS]
    floor = comparison.changed_work() / rate
    console.print(table(times, rate, floor))
    console.print(f"peak memory of the process, Captum included: {peak_mib()} MiB")
    result = {
        "benchmark": "occlusion",
        "precision": options.precision,
        "windows": windows,
        "ratio_vs_captum_default": round(times[captum(1)] / times[OURS], 1),
        "ratio_vs_captum_batched": round(min(times[captum(batch)] for batch in BATCHES) / times[OURS], 1),
        "ratio_vs_floor": round(times[OURS] / floor, 2),
        "max_rel_error": error,
    }
    print(json.dumps(result))


def make_comparison(window: int, stride: int, device: str, precision: str) -> OcclusionComparison:
    """Build the network, and preprocess the photo and a grey image."""
    network = on_device(build(zfnet(), generator=torch.Generator().manual_seed(0)).eval(), device)
    photo = decode(files("sklearn.datasets.images").joinpath("china.jpg").read_bytes())
    prepared = prepare(photo, PREPROCESSING)
    images = torch.from_numpy(prepared.pixels).to(device)
    grey = torch.from_numpy(normalise(np.full_like(prepared.views[0], GREY), PREPROCESSING))[None].to(device)
    rated = RatedConvolutions(network, images.repeat(8, 1, 1, 1))
    occlusion = Occlusion(nn.Sequential(as_sequential(network), nn.Softmax(1)))
    own = network_in(network, precision)
    return OcclusionComparison(network, own, images, grey, window, stride, rated, occlusion)


def relative_error(comparison: OcclusionComparison, scores: Tensor) -> float:
    """Return the largest difference from full passes, relative to the largest change of a score."""
    expected = comparison.scores_by_full_passes()
    with torch.no_grad():
        change = (expected - comparison.network(comparison.images)).abs().max()
    return float((scores - expected).abs().max() / change)


def measure(comparison: OcclusionComparison, repeats: int, console: Console) -> Mapping[str, float]:
    """Time all in turn and return the medians in seconds; Captum's slow default runs only once."""
    runs: dict[str, Callable[[], object]] = {OURS: comparison.ours, CONVOLUTIONS: comparison.rated.run}
    runs |= {captum(batch): partial(comparison.theirs, batch) for batch in BATCHES}
    comparison.rated.run()
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(captum(1), total=repeats + 1)
        device = comparison.images.device.type
        once = timed(partial(comparison.theirs, 1), device)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for repeat in range(repeats):
            progress.update(task, advance=1, description=f"round {repeat + 1} of {repeats}")
            for name, run in runs.items():
                times[name].append(timed(run, device))
    return {name: statistics.median(seconds) for name, seconds in times.items()} | {captum(1): once}


def captum(batch: int) -> str:
    """Return the label of Captum's run with `batch` windows per pass."""
    return f"Captum, {batch} per pass"


def peak_mib() -> int:
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def table(times: Mapping[str, float], rate: float, floor: float) -> Table:
    """Return a table of the medians, in seconds."""
    rows = Table("", "seconds", "relative to ZFScope", title="occlusion of one photo, medians")
    rows_by_name = {name: seconds for name, seconds in times.items() if name != CONVOLUTIONS}
    rows_by_name[f"floor, at {rate / 1e9:.0f} G multiply-adds/s"] = floor
    for name, seconds in rows_by_name.items():
        rows.add_row(name, f"{seconds:.2f}", f"{seconds / times[OURS]:.2f} x")
    return rows


if __name__ == "__main__":
    main()
