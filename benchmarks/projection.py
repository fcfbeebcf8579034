"""Projections of conv5 units of one photo, against Captum's NeuronDeconvolution on the same network.

    python -m benchmarks.projection

The network is the paper's with 1000 classes: 62 million random weights; the time does not depend on them.
Ours is one trace of the photo up to conv5 and one projection of all units. Captum has no way to ask for
several units: it is called once for each, on an `nn.Sequential` of torch's own layers with the same weights,
which is what a user of torch would have. Both run in this process, in turn, several times; the ratio is
that of the medians.

They do not compute the same thing by default. Captum differentiates through contrast normalisation, and its
seed is 1; here normalisation is skipped (the ECCV text) and the seed is the activation. Before anything is
timed, our projections with `normalisation="gradient"` are compared with Captum's times the activation.

The last line is a JSON object for programs.
"""

import argparse
import json
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

import torch
from captum.attr import NeuronDeconvolution
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from torch import Tensor

from benchmarks.clock import machine, timed
from benchmarks.sequential import as_sequential
from zfscope.engine import Unit, project, strongest_units, trace
from zfscope.engine.seeds import activation
from zfscope.images.decode import decode
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.networks import Network, build, zfnet
from zfscope.networks.network import on_device

LAYER = "conv5"
COUNTS = (9, 64)
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Contest:
    """One photo, one network, and the two ways to see what its units saw."""

    network: Network
    images: Tensor
    units: tuple[Unit, ...]
    captum: NeuronDeconvolution

    def ours(self, count: int) -> Tensor:
        """Project the first `count` units: (count, 3, 224, 224)."""
        seen = trace(self.network, self.images, until=LAYER)
        return project(self.network, seen, LAYER, self.units[:count])

    def theirs(self, count: int) -> Tensor:
        """Let Captum do so, one by one."""
        places = ((unit.map, unit.y, unit.x) for unit in self.units[:count])
        return torch.cat([self.captum.attribute(self.images, place) for place in places])

    def timed(self, run: Callable[[int], Tensor], count: int) -> float:
        """Give the seconds that one of them takes."""
        return timed(partial(run, count), self.images.device.type)


def main() -> None:
    """Compare, time, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="how often each is timed (default: 5)")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="what computes (default: cpu)"
    )
    options = parser.parse_args()
    repeats: int = options.repeats
    warnings.filterwarnings("ignore", "Setting backward hooks on ReLU activations")
    warnings.filterwarnings("ignore", "Input Tensor 0 did not already require gradients")

    console = Console()
    contest = make_contest(options.device)
    error = disagreement(contest, 2)
    if error > TOLERANCE:
        raise SystemExit(f"the two disagree by {error:.1e} of the largest value; allowed is {TOLERANCE:.0e}")
    console.print(machine(options.device))
    console.print(
        f"with the gradient of normalisation both give the same to {error:.0e} of the largest value"
    )
    times = measure(contest, repeats, console)
    console.print(table(times))
    ratios = {count: ratio(*times[count]) for count in COUNTS}
    result = {
        "benchmark": "projection",
        "units": 9,
        "ratio_vs_captum": ratios[9],
        "ratio_vs_captum_64": ratios[64],
    }
    print(json.dumps(result))


def make_contest(device: str) -> Contest:
    """Build the network, prepare the photo and find its strongest units."""
    network = on_device(build(zfnet(), generator=torch.Generator().manual_seed(0)).eval(), device)
    photo = decode(files("sklearn.datasets.images").joinpath("china.jpg").read_bytes())
    images = torch.from_numpy(prepare(photo, Preprocessing()).pixels).to(device)
    units = strongest_units(trace(network, images, until=LAYER), LAYER, 0, max(COUNTS))
    sequential = as_sequential(network)
    return Contest(network, images, units, NeuronDeconvolution(sequential, sequential.get_submodule(LAYER)))


def disagreement(contest: Contest, count: int) -> float:
    """Give the largest difference of the two, where they compute the same, as a share of the peak."""
    seen = trace(contest.network, contest.images, until=LAYER)
    units = contest.units[:count]
    ours = project(contest.network, seen, LAYER, units, normalisation="gradient")
    strengths = torch.tensor([activation(seen, LAYER, unit) for unit in units], device=ours.device)
    expected = contest.theirs(count) * strengths[:, None, None, None]
    return float((ours - expected).abs().max() / expected.abs().max())


Times = dict[int, tuple[list[float], list[float]]]
"""By number of units: the seconds that ours took, and those that Captum took."""


def measure(contest: Contest, repeats: int, console: Console) -> Times:
    """Time both in turn, after one round that does not count."""
    times: Times = {count: ([], []) for count in COUNTS}
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("warming up", total=(repeats + 1) * len(COUNTS))
        for repeat in range(repeats + 1):
            for count in COUNTS:
                ours, theirs = contest.timed(contest.ours, count), contest.timed(contest.theirs, count)
                if repeat:
                    times[count][0].append(ours)
                    times[count][1].append(theirs)
                progress.update(task, advance=1, description=f"round {max(repeat, 1)} of {repeats}")
    return times


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Give how many times faster ours is, by the medians."""
    return round(statistics.median(theirs) / statistics.median(ours), 1)


def table(times: Times) -> Table:
    """Lay the medians out, in milliseconds."""
    rows = Table(
        "units", "trace and project", "Captum", "ratio", title=f"{LAYER} units of one photo, medians"
    )
    for count, (ours, theirs) in times.items():
        cells = (f"{statistics.median(seconds) * 1000:.0f} ms" for seconds in (ours, theirs))
        rows.add_row(str(count), *cells, f"{ratio(ours, theirs):.1f} x")
    return rows


if __name__ == "__main__":
    main()
