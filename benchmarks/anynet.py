"""Projection and occlusion on imported networks, compared with Captum on the torch modules they come from.

    python -m benchmarks.anynet
    python -m benchmarks.anynet --networks mobilenetv2

pytorchcv's ResNet-50, VGG16 and MobileNetV2 with random weights are exported to ONNX and imported. Of one
photo of 224 pixels are timed, in turn and in this process:

- nine units of the last convolution with positions: one trace and one call of `project`, against nine calls
  of Captum's NeuronDeconvolution on the module;
- the class scores of 625 windows of 32 pixels, 8 pixels apart, as the analyzer's method `auto` computes them
  (recomputed, or by whole passes of ONNX Runtime), against Captum's Occlusion with 8, 16 and 32 windows per
  pass, of which the fastest counts, and against whole passes of ONNX Runtime alone.

The floor is the time that the multiply-adds of the changed values would take at the rate of a convolution
of 256 maps in torch, in the same run. Scores are compared before timing, and projections in float64; Captum
leaves ReLU6 to its gradient, so that MobileNetV2's projections are not comparable.

Ratios are ratios of medians. The last line is a JSON object for programs.
"""

import argparse
import io
import json
import statistics
import tempfile
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from captum.attr import NeuronDeconvolution, Occlusion
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.clock import machine, timed
from zfscope.engine import Unit, project, strongest_units, trace
from zfscope.engine.changes import ChangedRegion, changed_regions, multiply_adds
from zfscope.engine.occlusion import recompute, recomputes_little
from zfscope.engine.seeds import activation
from zfscope.engine.signal import Signal
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.images.presets import PRESETS
from zfscope.networks import Network
from zfscope.runtimes.onnx.runtime import OnnxRuntime
from zfscope.store import Label, Manifest, Model, Provenance, Weights
from zfscope.store.importing import read_onnx

# Modules of pytorchcv and their function, by the name here.
NETWORKS = {
    "resnet50": ("resnet", "resnet50"),
    "vgg16": ("vgg", "vgg16"),
    "mobilenetv2": ("mobilenetv2", "mobilenetv2_w1"),
}
UNITS = 9
WINDOW, STRIDE = 32, 8
BATCHES = (8, 16, 32)
CONVOLUTION = "convolution of 256 maps"
PASS_SIZE = 4
TOLERANCE = 1e-4
PREPROCESSING = PRESETS["torchvision"]


@dataclass(frozen=True, eq=False)
class NetworkComparison:
    """A module, the network imported from it, and a photo."""

    module: nn.Module
    network: Network
    runtime: OnnxRuntime
    images: Tensor

    @cached_property
    def layer(self) -> str:
        """The last convolution whose maps have several positions."""
        shapes, convolutions = self.network.shapes, self.network.spec.convolutions
        return next(name for name in reversed(convolutions) if shapes[name][1] > 1)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The strongest unit of each of the strongest maps."""
        return strongest_units(trace(self.network, self.images, until=self.layer), self.layer, 0, UNITS)

    @cached_property
    def deconvolution(self) -> NeuronDeconvolution:
        """Captum's method for the layer, which has the module's name."""
        return NeuronDeconvolution(self.module, self.module.get_submodule(self.layer))

    @cached_property
    def occlusion(self) -> Occlusion:
        """Captum's occlusion of the class scores."""
        return Occlusion(self.module)

    @cached_property
    def changes(self) -> Signal:
        """The occluded windows: zeros, in Captum's row-major order."""
        starts = torch.arange(0, self.images.shape[2] - WINDOW + 1, STRIDE)
        origins = torch.cartesian_prod(starts, starts)
        values = self.images.new_zeros(len(origins), 3, WINDOW, WINDOW)
        return Signal(values, torch.zeros(len(origins), dtype=torch.int64), origins)

    def project(self) -> Tensor:
        """Return the projections of all units: (units, 3, H, W)."""
        traced = trace(self.network, self.images, until=self.layer)
        return project(self.network, traced, self.layer, self.units)

    def project_by_captum(self) -> Tensor:
        """Return Captum's, one call per unit; its seeds are 1."""
        neurons = [(unit.map, unit.y, unit.x) for unit in self.units]
        return torch.cat([self.deconvolution.attribute(self.images, neuron) for neuron in neurons])

    def occlude(self) -> NDArray[np.float32]:
        """Return the class scores of all windows, by the faster method: (windows, classes)."""
        scores = self.network.spec.scores
        if not recomputes_little(self.network, self.changes, {scores}):
            return self.occlude_by_passes()
        traced = trace(self.network, self.images)
        result = np.zeros((len(self.changes.values), traced.outputs[scores].shape[1]), np.float32)
        for part in recompute(self.network, traced, self.changes, {scores}):
            if scores in part.outputs:
                result[part.windows] = part.outputs[scores].values.numpy()
        return result

    def occlude_by_passes(self) -> NDArray[np.float32]:
        """Return the same by whole passes of ONNX Runtime."""
        results = []
        for origins in torch.split(self.changes.origins, PASS_SIZE):
            images = self.images.repeat(len(origins), 1, 1, 1)
            for image, (top, left) in zip(images, origins.tolist(), strict=True):
                image[:, top : top + WINDOW, left : left + WINDOW] = 0
            results.append(self.runtime.forward(images.numpy()))
        return np.concatenate(results)

    def occlude_by_captum(self, batch: int) -> Tensor:
        """Return Captum's attribution for the first class. batch: windows per pass."""
        attribution: Tensor = self.occlusion.attribute(
            self.images,
            sliding_window_shapes=(3, WINDOW, WINDOW),
            strides=(3, STRIDE, STRIDE),
            baselines=0,
            target=0,
            perturbations_per_eval=batch,
        )
        return attribution

    def changed_work(self) -> int:
        """Return the multiply-adds of all values that change, summed over the windows."""
        pixels = ChangedRegion(self.changes.origins, self.changes.origins + WINDOW)
        regions = changed_regions(self.network, pixels, self.network.spec.layers)
        return sum(
            multiply_adds(self.network, name) * int(region.sizes.prod(1).sum())
            for name, region in regions.items()
        )


@torch.no_grad()
def convolve() -> None:
    """Run the convolution that defines the rate of the floor."""
    maps = torch.ones(8, 256, 28, 28).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(256, 256, 3, 3).contiguous(memory_format=torch.channels_last)
    nn.functional.conv2d(maps, weight, padding=1)


def main() -> None:
    """Compare the results, time all, and print a table per network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="networks (default: all)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each (default: 3)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # Captum's, about hooks and gradients; torch's, about its exporter
    console = Console()
    console.print(machine("cpu"))
    ratios: dict[str, dict[str, float]] = {}
    for name in options.networks:
        comparison = make_comparison(name)
        errors = check(comparison)
        times = measure(comparison, options.repeats)
        console.print(table(name, comparison, times))
        console.print(f"largest differences, relative: {errors}")
        for key, ratio in ratios_of(times).items():
            ratios.setdefault(key, {})[name] = ratio
    print(json.dumps({"benchmark": "anynet", **ratios}))


def make_comparison(name: str) -> NetworkComparison:
    """Build the module with seeded weights, export it, and import the export."""
    folder, function = NETWORKS[name]
    torch.manual_seed(0)
    module: nn.Module = getattr(import_module(f"pytorchcv.models.{folder}"), function)().eval()
    for part in module.modules():
        if isinstance(part, nn.ReLU | nn.ReLU6):
            part.inplace = False  # Captum's hooks need the inputs
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "network.onnx"
        with io.BytesIO() as buffer:
            torch.onnx.export(module, (torch.zeros(1, 3, 224, 224),), buffer, dynamo=False)
            path.write_bytes(buffer.getvalue())
        network = read_onnx(path, name=name).network
    photo = decode(files("sklearn.datasets.images").joinpath("china.jpg").read_bytes())
    images = torch.from_numpy(prepare(photo, PREPROCESSING).pixels)
    return NetworkComparison(module, network, OnnxRuntime(as_model(network)), images)


def as_model(network: Network) -> Model:
    """Return the network as a model, without a store."""
    classes = network.shapes[network.spec.scores][0]
    manifest = Manifest(
        name=network.spec.name,
        version=1,
        summary="",
        network=network.spec,
        preprocessing=PREPROCESSING,
        labels=tuple(Label(id=str(number), name=str(number)) for number in range(classes)),
        provenance=Provenance(source="random weights"),
        files={"weights.safetensors": "0" * 64},
    )
    return Model(manifest, Weights.from_network(network))


def check(comparison: NetworkComparison) -> Mapping[str, float]:
    """Return the largest relative differences of scores and projections. Exits if they are too large."""
    passes = comparison.occlude_by_passes()
    clean = comparison.runtime.forward(comparison.images.numpy())
    errors = {"occlusion": float(np.abs(comparison.occlude() - passes).max() / np.abs(passes - clean).max())}
    if not any(isinstance(part, nn.ReLU6) for part in comparison.module.modules()):
        errors["projection"] = projection_error(exact(comparison))
    for name, error in errors.items():
        if error > TOLERANCE:
            raise SystemExit(f"{name} differs by {error:.1e} of the largest value; allowed: {TOLERANCE:.0e}")
    return {name: float(f"{error:.1e}") for name, error in errors.items()}


def exact(comparison: NetworkComparison) -> NetworkComparison:
    """Return the comparison in float64, where rounding chooses no other maximum in pooled windows."""
    module, network = deepcopy(comparison.module).double(), deepcopy(comparison.network).double()
    return replace(comparison, module=module, network=network, images=comparison.images.double())


def projection_error(comparison: NetworkComparison) -> float:
    """Return the largest difference of a projection from Captum's, relative to the largest value."""
    traced = trace(comparison.network, comparison.images, until=comparison.layer)
    strengths = torch.tensor([activation(traced, comparison.layer, unit) for unit in comparison.units])
    expected = comparison.project_by_captum() * strengths[:, None, None, None]
    return float((comparison.project() - expected).abs().max() / expected.abs().max())


def measure(comparison: NetworkComparison, repeats: int) -> Mapping[str, float]:
    """Time all in turn and return the medians in seconds."""
    runs: dict[str, Callable[[], object]] = {
        "project": comparison.project,
        "project by Captum": comparison.project_by_captum,
        "occlude": comparison.occlude,
        "occlude by ONNX Runtime": comparison.occlude_by_passes,
        CONVOLUTION: convolve,
        **{captum(batch): partial(comparison.occlude_by_captum, batch) for batch in BATCHES},
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(timed(run, "cpu"))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    rate = 8 * 28**2 * 256**2 * 9 / medians[CONVOLUTION]
    return {**medians, "floor of occlude": comparison.changed_work() / rate}


def captum(batch: int) -> str:
    """Return the label of Captum's occlusion with `batch` windows per pass."""
    return f"occlude by Captum, {batch} per pass"


def ratios_of(times: Mapping[str, float]) -> Mapping[str, float]:
    """Return how many times as fast ZFScope is, and how far it is from the floor."""
    return {
        "project9_vs_captum": round(times["project by Captum"] / times["project"], 2),
        "occlude625_vs_captum_batched": round(min(times[captum(b)] for b in BATCHES) / times["occlude"], 2),
        "occlude625_vs_onnx_passes": round(times["occlude by ONNX Runtime"] / times["occlude"], 2),
        "occlude625_vs_floor": round(times["occlude"] / times["floor of occlude"], 2),
    }


def table(name: str, comparison: NetworkComparison, times: Mapping[str, float]) -> Table:
    """Return a table of the medians, in seconds."""
    rows = Table("", "seconds", title=f"{name}, units of {comparison.layer}, medians")
    for label, seconds in times.items():
        rows.add_row(label, f"{seconds:.2f}")
    return rows


if __name__ == "__main__":
    main()
