"""Occlusion of one photo: the probability of a class with each of many windows greyed, against Captum's.

    python -m benchmarks.occlusion
    python -m benchmarks.occlusion --window 16 --stride 4

The network is the paper's with 1000 classes: 62 million weights from N(0, sqrt(2 / inputs of a unit)), which
keep activations of one size from layer to layer, so that the classes differ and every window changes them.
Ours is one trace of the photo, `recompute` of the class scores, and their softmax. Captum's Occlusion has an
`nn.Sequential` of torch's own layers with the same weights and the softmax; it is timed as it comes (one
window a pass, the whole run, once) and with 8, 16, 32 and 64 windows a pass, of which the best counts.
All run in this process, in turn; ratios are those of the medians.

The floor is the time that the multiply-adds of what each window changes would take, each window by itself
and full connections included, at the rate of torch's own convolutions in this run: those of conv2 to conv5 on
whole maps of eight images. It has no trace, no pools, no normalisation and no copies.

Before anything is timed, our class scores are compared with those of whole passes, for all windows. The
error is the largest difference over the largest change that a window makes to a score.

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
from benchmarks.sequential import as_sequential
from zfscope.engine import Trace, trace
from zfscope.engine.changes import Area, changed_areas, multiply_adds
from zfscope.engine.occlusion import recompute
from zfscope.engine.signal import Signal
from zfscope.images.decode import decode
from zfscope.images.normalise import normalise
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.networks import Network, build, zfnet
from zfscope.networks.forward import FORWARD
from zfscope.networks.network import on_device

SCORES = "fc8"
GREY = 128
BATCHES = (8, 16, 32, 64)
RATED = ("conv2", "conv3", "conv4", "conv5")
TOLERANCE = 1e-4
OURS, CONVOLUTIONS = "ours", "convolutions"
PREPROCESSING = Preprocessing(std=(58.4, 57.1, 57.4))


@dataclass(frozen=True)
class Contest:
    """One photo, one network, the windows to grey, and the two ways to see what that changes."""

    network: Network
    images: Tensor
    grey: Tensor
    window: int
    stride: int
    eight: Trace
    captum: Occlusion

    @cached_property
    def origins(self) -> Tensor:
        """The first row and column of every window, (windows, 2), in Captum's order: row by row."""
        last = self.images.shape[2] - self.window
        if not 0 < self.stride <= self.window or last < 0 or last % self.stride:
            raise SystemExit("windows must cover the image, in steps that end at its edge: as 32 and 8 do")
        places = torch.arange(0, last + 1, self.stride)
        return torch.cartesian_prod(places, places)

    def scores(self) -> Tensor:
        """Compute the class scores with each window greyed: (windows, 1000)."""
        seen = trace(self.network, self.images)
        count = len(self.origins)
        filled = self.grey[:, :, : self.window, : self.window].expand(count, -1, -1, -1)
        changes = Signal(filled, torch.zeros(count, dtype=torch.int64), self.origins)
        scores = torch.empty(count, seen.outputs[SCORES].shape[1], device=self.images.device)
        for part in recompute(self.network, seen, changes, {SCORES}):
            if SCORES in part.outputs:
                scores[part.windows] = part.outputs[SCORES].values
        return scores

    def ours(self) -> Tensor:
        """Compute the probability of the first class with each window greyed."""
        return self.scores().softmax(1)[:, 0]

    def theirs(self, batch: int) -> Tensor:
        """Let Captum do so, with some windows a pass."""
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
    def scores_by_whole_passes(self) -> Tensor:
        """Compute the class scores with each window greyed, by brute force."""
        scores = []
        for some in torch.split(self.origins, 16):
            images = self.images.repeat(len(some), 1, 1, 1)
            for image, (top, left) in zip(images, some.tolist(), strict=True):
                area = (slice(None), slice(top, top + self.window), slice(left, left + self.window))
                image[area] = self.grey[0][area]
            scores.append(self.network(images))
        return torch.cat(scores)

    def work(self) -> int:
        """Count the multiply-adds of what each window changes."""
        pixels = Area(self.origins, self.origins + self.window)
        areas = changed_areas(self.network, pixels, self.network.spec.layers)
        return sum(
            multiply_adds(self.network, name) * int(area.sizes.prod(1).sum()) for name, area in areas.items()
        )

    @torch.no_grad()
    def convolve(self) -> None:
        """Run the convolutions that set the rate, on whole maps."""
        spec = self.network.spec
        for name in RATED:
            inputs = [self.eight.outputs[source] for source in spec.sources[name]]
            FORWARD["conv"](spec.by_name[name], inputs, self.network.weights(name))

    def convolve_work(self) -> int:
        """Count their multiply-adds."""
        places = {name: self.eight.outputs[name][:, 0].numel() for name in RATED}
        return sum(multiply_adds(self.network, name) * count for name, count in places.items())


def main() -> None:
    """Compare, time, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--window", type=int, default=32, help="side of a window in pixels (default: 32)")
    parser.add_argument("--stride", type=int, default=8, help="pixels from one to the next (default: 8)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is timed (default: 3)")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="what computes (default: cpu)"
    )
    options = parser.parse_args()
    console = Console()
    contest = make_contest(options.window, options.stride, options.device)
    windows = len(contest.origins)
    console.print(machine(options.device))
    scores = contest.scores()
    console.print(f"most memory of the process, so far with ours alone: {peak_mib()} MiB")
    error = disagreement(contest, scores)
    if error > TOLERANCE:
        raise SystemExit(f"the two disagree by {error:.1e} of the largest change; allowed is {TOLERANCE:.0e}")
    console.print(f"{windows} windows give what whole passes give, to {error:.0e} of the largest change")
    times = measure(contest, options.repeats, console)
    rate = contest.convolve_work() / times[CONVOLUTIONS]
    floor = contest.work() / rate
    console.print(table(times, rate, floor))
    console.print(f"most memory of the process, Captum included: {peak_mib()} MiB")
    result = {
        "benchmark": "occlusion",
        "windows": windows,
        "ratio_vs_captum_default": round(times[captum(1)] / times[OURS], 1),
        "ratio_vs_captum_batched": round(min(times[captum(batch)] for batch in BATCHES) / times[OURS], 1),
        "ratio_vs_floor": round(times[OURS] / floor, 2),
        "max_rel_error": error,
    }
    print(json.dumps(result))


def make_contest(window: int, stride: int, device: str) -> Contest:
    """Build the network and prepare the photo and a grey one."""
    network = on_device(build(zfnet(), generator=torch.Generator().manual_seed(0)).eval(), device)
    photo = decode(files("sklearn.datasets.images").joinpath("china.jpg").read_bytes())
    prepared = prepare(photo, PREPROCESSING)
    images = torch.from_numpy(prepared.pixels).to(device)
    grey = torch.from_numpy(normalise(np.full_like(prepared.views[0], GREY), PREPROCESSING))[None].to(device)
    eight = trace(network, images.repeat(8, 1, 1, 1), until=RATED[-1])
    occlusion = Occlusion(nn.Sequential(as_sequential(network), nn.Softmax(1)))
    return Contest(network, images, grey, window, stride, eight, occlusion)


def disagreement(contest: Contest, scores: Tensor) -> float:
    """Give the largest difference to whole passes, as a share of the largest change of a score."""
    expected = contest.scores_by_whole_passes()
    with torch.no_grad():
        change = (expected - contest.network(contest.images)).abs().max()
    return float((scores - expected).abs().max() / change)


def measure(contest: Contest, repeats: int, console: Console) -> Mapping[str, float]:
    """Time all in turn, and give the medians in seconds; Captum one by one, which takes long, once."""
    runs: dict[str, Callable[[], object]] = {OURS: contest.ours, CONVOLUTIONS: contest.convolve}
    runs |= {captum(batch): partial(contest.theirs, batch) for batch in BATCHES}
    contest.convolve()
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(captum(1), total=repeats + 1)
        device = contest.images.device.type
        once = timed(partial(contest.theirs, 1), device)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for repeat in range(repeats):
            progress.update(task, advance=1, description=f"round {repeat + 1} of {repeats}")
            for name, run in runs.items():
                times[name].append(timed(run, device))
    return {name: statistics.median(seconds) for name, seconds in times.items()} | {captum(1): once}


def captum(batch: int) -> str:
    """Name Captum's run with some windows a pass."""
    return f"Captum, {batch} a pass"


def peak_mib() -> int:
    """Give the most memory that the process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def table(times: Mapping[str, float], rate: float, floor: float) -> Table:
    """Lay the medians out, in seconds."""
    rows = Table("", "seconds", "of ours", title="occlusion of one photo, medians")
    listed = {name: seconds for name, seconds in times.items() if name != CONVOLUTIONS}
    listed[f"floor, at {rate / 1e9:.0f} G multiply-adds a second"] = floor
    for name, seconds in listed.items():
        rows.add_row(name, f"{seconds:.2f}", f"{seconds / times[OURS]:.2f} x")
    return rows


if __name__ == "__main__":
    main()
