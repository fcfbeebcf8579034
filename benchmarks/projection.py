"""Projections of conv5 units for one photo, compared with Captum's NeuronDeconvolution on the same network.

    python -m benchmarks.projection

The network is the paper's with 1000 classes: 62 million random weights, whose values do not affect the time.
ZFScope traces the photo up to conv5 once and projects all units together. Captum cannot project several units
in one call: it is called once per unit, on an `nn.Sequential` of torch's own layers with the same weights, as
a torch user would have it. Both run in this process, in turn, several times; the ratio is the ratio of the
medians.

The two differ by default: Captum differentiates through contrast normalisation and seeds with 1, whereas
ZFScope skips normalisation (the ECCV text) and seeds with the activation. Before timing, projections with
`normalisation="gradient"` are compared with Captum's, multiplied by the activation.

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
class ProjectionComparison:
    """A photo, a network, and both methods to project its units."""

    network: Network
    images: Tensor
    units: tuple[Unit, ...]
    captum: NeuronDeconvolution

    def ours(self, count: int) -> Tensor:
        """Return projections of the first `count` units by ZFScope: (count, 3, 224, 224)."""
        traced = trace(self.network, self.images, until=LAYER)
        return project(self.network, traced, LAYER, self.units[:count])

    def theirs(self, count: int) -> Tensor:
        """Return projections of the first `count` units by Captum, one call per unit."""
        neurons = ((unit.map, unit.y, unit.x) for unit in self.units[:count])
        return torch.cat([self.captum.attribute(self.images, neuron) for neuron in neurons])

    def timed(self, run: Callable[[int], Tensor], count: int) -> float:
        """Return the seconds that `run` takes for `count` units."""
        return timed(partial(run, count), self.images.device.type)


def main() -> None:
    """Compare the results, time both, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each (default: 5)")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="device of the network (default: cpu)"
    )
    options = parser.parse_args()
    repeats: int = options.repeats
    warnings.filterwarnings("ignore", "Setting backward hooks on ReLU activations")
    warnings.filterwarnings("ignore", "Input Tensor 0 did not already require gradients")

    console = Console()
    comparison = make_comparison(options.device)
    error = relative_error(comparison, 2)
    if error > TOLERANCE:
        raise SystemExit(f"results differ by {error:.1e} of the largest value; allowed: {TOLERANCE:.0e}")
    console.print(machine(options.device))
    console.print(f"with normalisation=gradient, results agree to {error:.0e} of the largest value")
    times = measure(comparison, repeats, console)
    console.print(table(times))
    ratios = {count: ratio(*times[count]) for count in COUNTS}
    result = {
        "benchmark": "projection",
        "units": 9,
        "ratio_vs_captum": ratios[9],
        "ratio_vs_captum_64": ratios[64],
    }
    print(json.dumps(result))


def make_comparison(device: str) -> ProjectionComparison:
    """Build the network, preprocess the photo and find the strongest units."""
    network = on_device(build(zfnet(), generator=torch.Generator().manual_seed(0)).eval(), device)
    photo = decode(files("sklearn.datasets.images").joinpath("china.jpg").read_bytes())
    images = torch.from_numpy(prepare(photo, Preprocessing()).pixels).to(device)
    units = strongest_units(trace(network, images, until=LAYER), LAYER, 0, max(COUNTS))
    sequential = as_sequential(network)
    return ProjectionComparison(
        network, images, units, NeuronDeconvolution(sequential, sequential.get_submodule(LAYER))
    )


def relative_error(comparison: ProjectionComparison, count: int) -> float:
    """Return the largest difference for the first `count` units, relative to the largest value."""
    traced = trace(comparison.network, comparison.images, until=LAYER)
    units = comparison.units[:count]
    ours = project(comparison.network, traced, LAYER, units, normalisation="gradient")
    strengths = torch.tensor([activation(traced, LAYER, unit) for unit in units], device=ours.device)
    expected = comparison.theirs(count) * strengths[:, None, None, None]
    return float((ours - expected).abs().max() / expected.abs().max())


# Seconds of ZFScope and of Captum, by number of units.
Times = dict[int, tuple[list[float], list[float]]]


def measure(comparison: ProjectionComparison, repeats: int, console: Console) -> Times:
    """Time both alternately, after a warm-up round."""
    times: Times = {count: ([], []) for count in COUNTS}
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("warming up", total=(repeats + 1) * len(COUNTS))
        for repeat in range(repeats + 1):
            for count in COUNTS:
                ours, theirs = (
                    comparison.timed(comparison.ours, count),
                    comparison.timed(comparison.theirs, count),
                )
                if repeat:
                    times[count][0].append(ours)
                    times[count][1].append(theirs)
                progress.update(task, advance=1, description=f"round {max(repeat, 1)} of {repeats}")
    return times


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the speed-up over Captum, by the medians."""
    return round(statistics.median(theirs) / statistics.median(ours), 1)


def table(times: Times) -> Table:
    """Return a table of the medians, in milliseconds."""
    rows = Table("units", "ZFScope", "Captum", "ratio", title=f"{LAYER} units of one photo, medians")
    for count, (ours, theirs) in times.items():
        cells = (f"{statistics.median(seconds) * 1000:.0f} ms" for seconds in (ours, theirs))
        rows.add_row(str(count), *cells, f"{ratio(ours, theirs):.1f} x")
    return rows


if __name__ == "__main__":
    main()
