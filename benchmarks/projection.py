"""Projections of conv5 units for one photo, compared with Captum's NeuronDeconvolution on the same network.

    python -m benchmarks.projection
    python -m benchmarks.projection --precision bfloat16

The network is the paper's with 1000 classes: 62 million random weights, whose values do not affect the time.
ZFScope traces the photo up to conv5 once and projects all units together. Captum cannot project several units
in one call: it is called once per unit, on an `nn.Sequential` of torch's own layers with the same weights, as
a torch user would have it. Both run in this process, in turn, several times; the ratio is the ratio of the
medians.

The floor is the time of one trace, and that of the multiply-adds of the units' receptive fields, with zeros,
at the rate of torch's own convolutions in the same run (conv2 to conv5 on full maps of eight images). It
leaves out unpooling, rectification and copies.

With --precision bfloat16, ZFScope projects in bfloat16, from a trace in float32; Captum and the floor stay in
float32. Needs a processor with AMX or AVX512-BF16.

The two differ by default: Captum differentiates through contrast normalisation and seeds with 1, whereas
ZFScope skips normalisation (the ECCV text) and seeds with the activation. Before timing, projections with
`normalisation="gradient"` are compared with Captum's, multiplied by the activation.

The last line is a JSON object for programs.
"""

import argparse
import json
import statistics
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from math import prod

import torch
from captum.attr import NeuronDeconvolution
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from torch import Tensor

from benchmarks.clock import machine, timed
from benchmarks.floor import RatedConvolutions
from benchmarks.precisions import add_precision_option
from benchmarks.sequential import as_sequential
from zfscope.engine import Trace, Unit, project, strongest_units, trace
from zfscope.engine.changes import multiply_adds
from zfscope.engine.seeds import activation
from zfscope.images.decode import decode
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.networks import Network, build, zfnet
from zfscope.networks.network import on_device
from zfscope.networks.precision import network_in
from zfscope.runtimes.precision import check_precision

LAYER = "conv5"
COUNTS = (9, 64)
TRACE, CONVOLUTIONS = "trace", "convolutions"
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05}


@dataclass(frozen=True)
class ProjectionComparison:
    """A photo, a network, and both methods to project its units.

    own: the network in the precision in which ZFScope projects.
    """

    network: Network
    own: Network
    images: Tensor
    units: tuple[Unit, ...]
    captum: NeuronDeconvolution
    rated: RatedConvolutions

    def ours(self, count: int) -> Tensor:
        """Return projections of the first `count` units by ZFScope: (count, 3, 224, 224)."""
        return project(self.own, self.traced(), LAYER, self.units[:count])

    def traced(self) -> Trace:
        """Return the trace that projections start from."""
        return trace(self.network, self.images, until=LAYER)

    def theirs(self, count: int) -> Tensor:
        """Return projections of the first `count` units by Captum, one call per unit."""
        neurons = ((unit.map, unit.y, unit.x) for unit in self.units[:count])
        return torch.cat([self.captum.attribute(self.images, neuron) for neuron in neurons])

    def unit_work(self) -> int:
        """Return the multiply-adds of a unit's receptive field, in all layers below."""
        work, size = 0, (1, 1)
        spec, shapes = self.network.spec, self.network.shapes
        for layer in reversed(spec.needed_for([LAYER])):
            products = multiply_adds(self.network, layer.name)
            work += prod(size) * (products // shapes[LAYER][0] if layer.name == LAYER else products)
            if layer.window is not None:
                rows, columns = shapes[spec.sources[layer.name][0]][1:]
                height, width = layer.window.span(size)
                size = min(height, rows), min(width, columns)
        return work


def main() -> None:
    """Compare the results, time both, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each (default: 5)")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="device of the network (default: cpu)"
    )
    add_precision_option(parser)
    options = parser.parse_args()
    repeats: int = options.repeats
    warnings.filterwarnings("ignore", "Setting backward hooks on ReLU activations")
    warnings.filterwarnings("ignore", "Input Tensor 0 did not already require gradients")

    console = Console()
    check_precision(options.precision, runtime="torch", device=options.device)
    comparison = make_comparison(options.device, options.precision)
    error = relative_error(comparison, 2)
    if error > (allowed := TOLERANCE[options.precision]):
        raise SystemExit(f"results differ by {error:.1e} of the largest value; allowed: {allowed:.0e}")
    console.print(machine(options.device))
    console.print(f"with normalisation=gradient, results agree to {error:.0e} of the largest value")
    times = measure(comparison, repeats, console)
    console.print(table(times))
    result = {"benchmark": "projection", "precision": options.precision, "units": COUNTS[0]}
    for count, suffix in zip(COUNTS, ("", f"_{COUNTS[1]}"), strict=True):
        result[f"ratio_vs_captum{suffix}"] = round(times[captum(count)] / times[ours(count)], 1)
        result[f"ratio_vs_floor{suffix}"] = round(times[ours(count)] / times[floor(count)], 2)
    print(json.dumps(result))


def make_comparison(device: str, precision: str) -> ProjectionComparison:
    """Build the network, preprocess the photo and find the strongest units."""
    network = on_device(build(zfnet(), generator=torch.Generator().manual_seed(0)).eval(), device)
    photo = decode(files("sklearn.datasets.images").joinpath("china.jpg").read_bytes())
    images = torch.from_numpy(prepare(photo, Preprocessing()).pixels).to(device)
    units = strongest_units(trace(network, images, until=LAYER), LAYER, 0, max(COUNTS))
    sequential = as_sequential(network)
    captum = NeuronDeconvolution(sequential, sequential.get_submodule(LAYER))
    own, rated = network_in(network, precision), RatedConvolutions(network, images.repeat(8, 1, 1, 1))
    return ProjectionComparison(network, own, images, units, captum, rated)


def relative_error(comparison: ProjectionComparison, count: int) -> float:
    """Return the largest difference for the first `count` units, relative to the largest value."""
    traced = trace(comparison.network, comparison.images, until=LAYER)
    units = comparison.units[:count]
    ours = project(comparison.own, traced, LAYER, units, normalisation="gradient")
    strengths = torch.tensor([activation(traced, LAYER, unit) for unit in units], device=ours.device)
    expected = comparison.theirs(count) * strengths[:, None, None, None]
    return float((ours - expected).abs().max() / expected.abs().max())


def measure(comparison: ProjectionComparison, repeats: int, console: Console) -> Mapping[str, float]:
    """Time all in turn, after a warm-up round; return the medians in seconds, and the floors."""
    runs: dict[str, Callable[[], object]] = {TRACE: comparison.traced, CONVOLUTIONS: comparison.rated.run}
    for count in COUNTS:
        runs[ours(count)] = partial(comparison.ours, count)
        runs[captum(count)] = partial(comparison.theirs, count)
    times: dict[str, list[float]] = {name: [] for name in runs}
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("warming up", total=repeats + 1)
        for repeat in range(repeats + 1):
            for name, run in runs.items():
                seconds = timed(run, comparison.images.device.type)
                times[name] += [seconds] if repeat else []
            progress.update(task, advance=1, description=f"round {repeat + 1} of {repeats}")
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    unit = comparison.unit_work() * medians.pop(CONVOLUTIONS) / comparison.rated.work()
    return medians | {floor(count): medians[TRACE] + count * unit for count in COUNTS}


def ours(count: int) -> str:
    """Return the label of ZFScope's run for `count` units."""
    return f"ZFScope, {count} units"


def captum(count: int) -> str:
    """Return the label of Captum's run for `count` units."""
    return f"Captum, {count} units"


def floor(count: int) -> str:
    """Return the label of the floor for `count` units."""
    return f"floor, {count} units"


def table(times: Mapping[str, float]) -> Table:
    """Return a table of the medians, in milliseconds."""
    rows = Table("", "ms", title=f"{LAYER} units of one photo, medians")
    for name, seconds in times.items():
        rows.add_row(name, f"{1e3 * seconds:.0f}")
    return rows


if __name__ == "__main__":
    main()
